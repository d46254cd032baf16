//! The k-of-n signatures.

use loadline_core::Digest;

use super::{Case, Outcome, Reason, SignOff};
use crate::instant::DAY_S;
use crate::policy::{Policy, Role, SignOffRule};

/// What the signatures come to.
pub(super) struct Signed {
    /// A reason for each role, and for each refusal.
    pub reasons: Vec<Reason>,
    /// Roles whose rule is met.
    pub roles: Vec<Role>,
}

/// Counts the signatures that each rule needs. A key counts for one role only, whatever roles it signed in: keys are
/// given to roles so that as many rules as possible are met.
pub(super) fn count(rules: &[SignOffRule], policy: &Policy, digest: Digest, case: &Case) -> Signed {
    let valid: Vec<&SignOff> = case.sign_offs.iter().filter(|s| counts(s, policy, digest, case)).collect();
    let mut reasons = Vec::new();
    for refusal in valid.iter().filter(|sign_off| !sign_off.approves) {
        let rule = format!("sign_off.{}", refusal.role);
        let text = format!("`{}` refused as {}", refusal.signer, refusal.role);
        reasons.push(Reason::new(rule, Outcome::Deny, text).evidence(&refusal.id));
    }
    let approvals: Vec<&SignOff> = valid.into_iter().filter(|sign_off| sign_off.approves).collect();
    let assigned = assign(rules, &approvals);
    let mut roles = Vec::new();
    for (rule, ids) in rules.iter().zip(assigned) {
        let met = u64::try_from(ids.len()).unwrap_or(u64::MAX) >= rule.needed;
        let outcome = if met { Outcome::Allow } else { Outcome::Undetermined };
        if met {
            roles.push(rule.role);
        }
        let text = format!("{} of {} needed signed as {}", ids.len(), rule.needed, rule.role);
        let mut reason = Reason::new(format!("sign_off.{}", rule.role), outcome, text);
        reason = reason.numbers(ids.len(), format!("{} of {}", rule.needed, rule.of));
        reason.evidence = ids;
        reasons.push(reason);
    }
    Signed { reasons, roles }
}

/// What one rule got of the signatures under one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The role.
    pub role: Role,
    /// How many signed in it.
    pub found: u64,
    /// How many must.
    pub needed: u64,
}

/// Counts signers of one document, each with the roles it holds, as [`super::decide`] counts sign-offs: a key counts
/// for one role, and keys are given to roles so that as many rules as possible are met.
pub fn places(rules: &[SignOffRule], signers: &[(String, Vec<Role>)]) -> Vec<Place> {
    let signed = signers.iter().flat_map(|(signer, roles)| {
        roles.iter().map(|role| SignOff {
            id: String::new(),
            signer: signer.clone(),
            role: *role,
            approves: true,
            stage: crate::policy::Stage::Internal,
            subject: Digest([0; 32]),
            policy: Digest([0; 32]),
            at: crate::instant::Instant::EPOCH,
        })
    });
    let signed: Vec<SignOff> = signed.collect();
    let assigned = assign(rules, &signed.iter().collect::<Vec<_>>());
    let place = |(rule, ids): (&SignOffRule, Vec<String>)| Place {
        role: rule.role,
        found: u64::try_from(ids.len()).unwrap_or(u64::MAX),
        needed: rule.needed,
    };
    rules.iter().zip(assigned).map(place).collect()
}

/// For this model, stage and policy; neither from the future nor too old.
fn counts(sign_off: &SignOff, policy: &Policy, digest: Digest, case: &Case) -> bool {
    let fresh = sign_off.at <= case.now
        && case.now.seconds() - sign_off.at.seconds() <= policy.max_age_days.saturating_mul(DAY_S);
    let same = sign_off.subject == case.subject && sign_off.stage == case.stage && sign_off.policy == digest;
    // A refusal does not grow old while its model is the same.
    same && (fresh || (!sign_off.approves && sign_off.at <= case.now))
}

/// Gives each key to at most one role: augmenting paths (Kuhn's algorithm) over keys and needed places. Returns the
/// ids of the signatures that each rule got.
fn assign(rules: &[SignOffRule], approvals: &[&SignOff]) -> Vec<Vec<String>> {
    let mut signers: Vec<&str> = approvals.iter().map(|sign_off| sign_off.signer.as_str()).collect();
    signers.sort_unstable();
    signers.dedup();
    let places: Vec<usize> = rules
        .iter()
        .enumerate()
        .flat_map(|(index, rule)| {
            std::iter::repeat_n(index, usize::try_from(rule.needed).unwrap_or(usize::MAX).min(100))
        })
        .collect();
    let may = |signer: usize, place: usize| {
        let role = rules[places[place]].role;
        approvals.iter().any(|s| s.signer == signers[signer] && s.role == role)
    };
    let mut holder: Vec<Option<usize>> = vec![None; places.len()];
    for signer in 0..signers.len() {
        let mut seen = vec![false; places.len()];
        augment(signer, &may, &mut holder, &mut seen);
    }
    let mut ids = vec![Vec::new(); rules.len()];
    for (place, signer) in holder.iter().enumerate().filter_map(|(p, s)| s.map(|s| (p, s))) {
        let rule = places[place];
        let found = approvals.iter().find(|s| s.signer == signers[signer] && s.role == rules[rule].role);
        ids[rule].extend(found.map(|sign_off| sign_off.id.clone()));
    }
    ids
}

fn augment(
    signer: usize,
    may: &impl Fn(usize, usize) -> bool,
    holder: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for place in 0..holder.len() {
        if seen[place] || !may(signer, place) {
            continue;
        }
        seen[place] = true;
        if holder[place].is_none_or(|other| augment(other, may, holder, seen)) {
            holder[place] = Some(signer);
            return true;
        }
    }
    false
}
