//! The model that `measure` asks.

use std::path::Path;

use loadline_core::model::{BoxFuture, CallContext, Capabilities, ModelIdentity};
use loadline_core::{Digest, Model, ModelError, ModelOutput, ModelRef, Request};

use crate::error::LocalError;
use crate::options::LocalOptions;

/// A model in this process.
pub struct LocalModel {
    reference: ModelRef,
    identity: ModelIdentity,
}

impl LocalModel {
    /// Opens a GGUF file. With `digest` the caller has already verified the file; without, it is hashed while it
    /// is loaded.
    ///
    /// # Errors
    /// A file that cannot be read, is cut short or damaged, or holds what this crate does not compute.
    pub fn open(
        reference: ModelRef,
        path: &Path,
        options: &LocalOptions,
        digest: Option<Digest>,
    ) -> Result<Self, LocalError> {
        let _ = (path, options, digest, &reference);
        Err(LocalError::Threads("the decoder is not in this version yet".to_owned()))
    }
}

impl Model for LocalModel {
    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn identity(&self) -> ModelIdentity {
        self.identity.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { generate: true, loglikelihood: true, max_concurrency: Some(4) }
    }

    fn call<'a>(
        &'a self,
        _request: &'a Request,
        _context: &'a CallContext<'a>,
    ) -> BoxFuture<'a, Result<ModelOutput, ModelError>> {
        Box::pin(std::future::ready(Err(ModelError::new(
            loadline_core::ModelErrorKind::Internal,
            "the decoder is not in this version yet",
        ))))
    }
}
