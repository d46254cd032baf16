//! Receipts over HTTP: a caller gets what the audit log says of a request of its own, signed.

use std::sync::Arc;

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::body::Answer;
use crate::gate::Gate;
use crate::ledger::{AuditError, IntentId, RequestId};
use crate::proxy::REQUEST_ID;
use crate::refusal::{Code, Refusal};
use crate::report::Observed;

/// When to ask again for what is not signed yet, in seconds: an outcome is on the disk within one.
const SOON_S: u64 = 2;

/// Answers `GET /v1/receipts/INTENT` for a caller with this subject. Somebody else's is not there.
pub(crate) async fn receipt(
    gate: &Gate,
    intent: IntentId,
    subject: &str,
    id: RequestId,
    observed: &Arc<Observed>,
) -> Result<Response<Answer>, Refusal> {
    let (status, body) = match gate.base.audit.receipt(intent, subject).await {
        Ok(receipt) => (StatusCode::OK, receipt),
        Err(AuditError::Pending) => {
            observed.note(|report, _| report.status = StatusCode::ACCEPTED.as_u16());
            let message = AuditError::Pending.to_string();
            let body = json!({ "status": "pending", "message": message, "request_id": id.to_string() });
            (StatusCode::ACCEPTED, body.to_string().into_bytes())
        }
        Err(AuditError::Unknown(_)) => {
            let message =
                format!("no request of this key's subject has the place {} in the audit log", intent.0);
            return Err(Refusal::new(Code::ReceiptUnknown, message));
        }
        Err(AuditError::Behind) => {
            let mut refusal = Refusal::new(Code::ReceiptsBusy, "other receipts are being made");
            refusal.retry_after_s = Some(SOON_S);
            return Err(refusal);
        }
        Err(other) => return Err(Refusal::new(Code::AuditUnavailable, other.to_string())),
    };
    let mut response = Response::new(Answer::whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(HeaderValue::from_str(&id.to_string()).map(|id| (REQUEST_ID, id)));
    if status == StatusCode::ACCEPTED {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(SOON_S));
    }
    Ok(response)
}
