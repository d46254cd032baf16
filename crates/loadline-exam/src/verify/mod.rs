//! Everything again, by anybody, from one file and nothing else.

mod exam;
mod list;
mod log;
mod outcome;
mod records;
mod report;

pub use report::{Anchor, Report, Status, Step, StepName, Summary, WithheldRows};

use std::io::Read;

use loadline_core::Digest;
use loadline_core::model::Basis;
use loadline_core::untrusted::one_line;
use loadline_policy::license::License;
use loadline_policy::{Ledger, Policy};
use loadline_trust::RootChain;
use serde::{Deserialize, Serialize};

use crate::attest::Exam;
use crate::bundle::{BundleError, Reader, SmallParts};
use crate::manifest::Manifest;
use crate::seed::{ExamSeed, SeedCheckpoint};

use exam::Tries;
use list::{Checklist, Not, need};
use log::{Logged, Story};
use outcome::Decided;
use records::{Found, Known};

/// `format` of [`Consistency`].
pub const CONSISTENCY_FORMAT: &str = "loadline-consistency/1";

/// How the log grew around the registration: from the state that it follows, to the state that the seed is made from, to
/// the checkpoint that every proof of the bundle is against. Hashes as in RFC 6962 consistency proofs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// What the seed is made from: the log right before the start, or in older exams right after the registration.
    pub checkpoint: SeedCheckpoint,
    /// From `checkpoint` to the checkpoint of the proofs.
    pub checkpoint_to_last: Vec<Digest>,
    /// From the state that the registration follows to `checkpoint`.
    pub follows_to_checkpoint: Vec<Digest>,
    /// [`CONSISTENCY_FORMAT`].
    pub format: String,
}

/// Verifies a bundle: recomputes everything that it says, in one pass. Its memory does not grow with the size of the
/// records, only by some 40 bytes for each sample.
pub fn verify(bundle: impl Read, anchor: &Anchor) -> Report {
    let mut list = Checklist::default();
    let mut facts = Facts::default();
    let mut found = Found::default();
    let container = container(bundle, anchor, &mut list, &mut facts, &mut found);
    list.step(StepName::Container, || match container {
        Ok(parts) => Ok(((), format!("{parts} parts, each whole and in its place"))),
        Err(error) => Err(Not::Wrong(error.to_string())),
    });
    let cannot_show = facts.cannot_show(anchor);
    let summary = facts.summary(&found);
    let steps = list.finish();
    let holds = steps.iter().all(|step| step.status != Status::Failed);
    Report { holds, steps, summary, withheld: found.withheld, cannot_show }
}

/// What was read and holds so far.
#[derive(Default)]
struct Facts {
    chain: Option<RootChain>,
    policy: Option<(Policy, Digest)>,
    manifest: Option<(Manifest, Digest)>,
    ledger: Option<(Ledger, Digest)>,
    logged: Option<Logged>,
    story: Option<Story>,
    /// Whether the registration is of the bundle's model.
    registered: Option<()>,
    seed: Option<(ExamSeed, Tries)>,
    exam: Option<Exam>,
    decided: Option<Decided>,
    license: Option<(License, Digest)>,
}

/// Reads the whole file and does the steps as it goes. Gives the number of small parts.
fn container(
    input: impl Read,
    anchor: &Anchor,
    list: &mut Checklist,
    facts: &mut Facts,
    found: &mut Found,
) -> Result<usize, BundleError> {
    let mut reader = Reader::open(input)?;
    let parts = reader.small()?;
    facts.before_records(&parts, anchor, list);
    let known = Known {
        policy: facts.policy.as_ref().map(|(policy, _)| policy),
        manifest: facts.registered.and(facts.manifest.as_ref()).map(|(manifest, _)| manifest),
        identity: facts.story.as_ref().map(|story| story.registration.1.identity),
        seed: facts.seed.as_ref().map(|(seed, _)| seed),
        exam: facts.exam.as_ref(),
    };
    let (read, whole) = records::read(reader, &known, list);
    *found = read;
    facts.after_records(&parts, anchor, found, list);
    whole.map(|()| parts.iter().count() + 2 * found.tests())
}

impl Facts {
    fn before_records(&mut self, parts: &SmallParts, anchor: &Anchor, list: &mut Checklist) {
        self.chain = list.step(StepName::Roots, || exam::roots(parts, anchor));
        let policy = exam::policy(parts);
        let manifest = exam::manifest(parts);
        self.logged =
            list.step(StepName::Log, || log::logged(parts, need(self.chain.as_ref(), StepName::Roots)?));
        self.policy = list.step(StepName::Policy, || {
            let (policy, digest) = policy?;
            let detail = format!("`{}` version {}, {digest}", policy.name, policy.version);
            Ok(((policy, digest), detail))
        });
        let manifest = list.step(StepName::Model, || {
            let manifest = manifest?;
            Ok((manifest, "not compared with the registration".to_owned()))
        });
        self.manifest = manifest;
        self.story = list.step(StepName::Order, || {
            let logged = need(self.logged.as_ref(), StepName::Log)?;
            let chain = need(self.chain.as_ref(), StepName::Roots)?;
            let (rules, policy) = need(self.policy.as_ref(), StepName::Policy)?;
            let (_, model) = need(self.manifest.as_ref(), StepName::Model)?;
            log::story(logged, chain, (rules, *policy), *model)
        });
        self.registered = self.model(parts, list);
        self.seed = list.step(StepName::Seed, || {
            let logged = need(self.logged.as_ref(), StepName::Log)?;
            let story = need(self.story.as_ref(), StepName::Order)?;
            let chain = need(self.chain.as_ref(), StepName::Roots)?;
            let (_, policy) = need(self.policy.as_ref(), StepName::Policy)?;
            exam::seed(story, logged, chain, (*policy, story.registration.1.model), anchor)
        });
        self.exam = list.step(StepName::Attestation, || {
            let (policy, policy_digest) = need(self.policy.as_ref(), StepName::Policy)?;
            let story = need(self.story.as_ref(), StepName::Order)?;
            let context = exam::Context {
                chain: need(self.chain.as_ref(), StepName::Roots)?,
                logged: need(self.logged.as_ref(), StepName::Log)?,
                model: story.registration.1.model,
                policy_digest: *policy_digest,
                story,
                policy,
            };
            exam::attestation(parts, &context)
        });
    }

    /// The model's step: manifest and declaration are the registered ones.
    fn model(&mut self, parts: &SmallParts, list: &mut Checklist) -> Option<()> {
        let (manifest, _) = self.manifest.as_ref()?;
        let story = self.story.as_ref();
        let ledger = list.step(StepName::Model, || {
            let ledger = exam::ledger(parts)?;
            let Some(story) = story else {
                return Ok((ledger, "not compared: needs step `order`".to_owned()));
            };
            let digest = ledger.as_ref().map(|(_, digest)| *digest);
            let detail = exam::registered(&story.registration.1, manifest, digest)?;
            Ok((ledger, detail))
        });
        self.ledger = ledger?;
        story.map(|_| ())
    }

    fn after_records(&mut self, parts: &SmallParts, anchor: &Anchor, found: &Found, list: &mut Checklist) {
        let ledger = self.ledger.as_ref().map(|(ledger, _)| ledger);
        let policy = self.policy.as_ref().map(|(policy, _)| policy);
        let scope = list.step(StepName::Scope, || {
            need(self.registered.as_ref(), StepName::Model)?;
            outcome::scope(parts, need(policy, StepName::Policy)?, ledger)
        });
        let sign_offs = list.step(StepName::SignOffs, || {
            let story = need(self.story.as_ref(), StepName::Order)?;
            outcome::sign_offs(parts, need(self.chain.as_ref(), StepName::Roots)?, story)
        });
        let counted = list.holds(StepName::Counts).then_some(());
        self.decided = list.step(StepName::Decision, || {
            need(counted.as_ref(), StepName::Counts)?;
            let exam = need(self.exam.as_ref(), StepName::Attestation)?;
            let scope = need(scope.as_ref(), StepName::Scope)?;
            let sign_offs = need(sign_offs.as_ref(), StepName::SignOffs)?;
            let story = need(self.story.as_ref(), StepName::Order)?;
            let shown = found.shown_alone(exam);
            let exam = (exam, shown.as_ref());
            let (chain, logged) = (self.chain.as_ref(), self.logged.as_ref());
            let (chain, logged) = (need(chain, StepName::Roots)?, need(logged, StepName::Log)?);
            let policy = need(policy, StepName::Policy)?;
            let drill = outcome::drill(parts, chain, story, logged, policy)?;
            outcome::decided(parts, policy, story, exam, (scope, sign_offs, drill))
        });
        if self.decided.as_ref().is_some_and(|decided| decided.shown_alone.is_some()) {
            list.doubt(StepName::Decision);
        }
        self.license = list.step(StepName::License, || {
            let decided = need(self.decided.as_ref(), StepName::Decision)?;
            let chain = need(self.chain.as_ref(), StepName::Roots)?;
            let story = need(self.story.as_ref(), StepName::Order)?;
            let (manifest, _) = need(self.manifest.as_ref(), StepName::Model)?;
            let policy = need(policy, StepName::Policy)?;
            outcome::license(parts, chain, story, policy, decided, (manifest, ledger))
        });
        self.now(parts, anchor, list);
    }

    /// The steps that a licence has and a decision has not.
    fn now(&self, parts: &SmallParts, anchor: &Anchor, list: &mut Checklist) {
        let license = self.license.as_ref().map(|(license, _)| license);
        list.step(StepName::Svr, || {
            let license = need(license, StepName::License)?;
            let story = need(self.story.as_ref(), StepName::Order)?;
            outcome::svr(parts, need(self.chain.as_ref(), StepName::Roots)?, story, license)
        });
        list.step(StepName::Validity, || {
            let chain = need(self.chain.as_ref(), StepName::Roots)?;
            let logged = need(self.logged.as_ref(), StepName::Log)?;
            let story = need(self.story.as_ref(), StepName::Order)?;
            if story.license.is_some() {
                need(license, StepName::License)?;
            }
            outcome::validity(chain, story, logged, license, anchor.now)
        });
        let standing = list.step(StepName::Standing, || {
            let (_, digest) = need(self.license.as_ref(), StepName::License)?;
            let chain = need(self.chain.as_ref(), StepName::Roots)?;
            let story = need(self.story.as_ref(), StepName::Order)?;
            let logged = need(self.logged.as_ref(), StepName::Log)?;
            let (status, detail) = outcome::standing(parts, chain, story, logged, *digest, anchor)?;
            Ok(((status, detail.clone()), detail))
        });
        if let Some((Status::Skipped, detail)) = standing {
            list.set(StepName::Standing, Status::Skipped, &detail);
        }
    }

    fn summary(&self, found: &Found) -> Summary {
        let license = self.license.as_ref();
        Summary {
            authority: self.chain.as_ref().map(RootChain::authority),
            log: self.logged.as_ref().map(|logged| one_line(logged.last.checkpoint.origin(), 255)),
            model_name: self.manifest.as_ref().map(|(manifest, _)| one_line(manifest.name(), 200)),
            model: self.manifest.as_ref().map(|(_, digest)| *digest),
            policy: self.policy.as_ref().map(|(p, _)| one_line(&format!("{} {}", p.name, p.version), 200)),
            attempt: self.story.as_ref().map(|story| story.start.1.attempt),
            resumes: self.story.as_ref().map_or(0, |story| story.resumes),
            cosignatures: self.seed.as_ref().map(|(_, tries)| match tries {
                Tries::Older | Tries::Alone => 0,
                Tries::Witnessed(count) => *count,
            }),
            stage: self.decided.as_ref().map(|decided| decided.decision.stage),
            outcome: self.decided.as_ref().map(|decided| decided.decision.outcome),
            license: license.map(|(_, digest)| *digest),
            expires: license.map(|(license, _)| license.validity.value.expires),
            samples: found.samples,
        }
    }

    /// What no bundle can show, said plainly.
    fn cannot_show(&self, anchor: &Anchor) -> Vec<String> {
        let remote =
            self.story.as_ref().is_some_and(|story| story.registration.1.identity != Basis::Verified);
        let files = match self.manifest.as_ref().map(|(manifest, _)| manifest) {
            Some(Manifest::Weights(statement)) => statement.predicate.resources.len(),
            _ => 0,
        };
        let simulated = self.manifest.as_ref().is_some_and(|(manifest, _)| manifest.is_simulated());
        let decides = self.decided.as_ref().is_some_and(|decided| decided.shown_alone.is_some());
        let story = self.story.as_ref();
        let said = [
            (
                decides,
                "that the decision is this one: withheld rows decide it, and their scores are only attested",
            ),
            (
                true,
                "that no attempt was left out: a monitor of the whole log sees every published start, not what the \
                 authority tried before it published, nor the same weights under another name or policy",
            ),
            (true, "that the authority, who knows its secret, kept it until the exam was over"),
            (true, self.choice()),
            (
                story.is_some_and(|story| story.unshown > 0),
                "that no earlier attempt had the same secret: their commitments are not in the bundle, which is of an older form",
            ),
            (
                true,
                "that the exam was not interrupted more often than the log says: the authority can ask and log nothing of it",
            ),
            (
                story.is_some_and(|story| story.finish.1.resumes.is_none()),
                "that every logged interruption is here: its end does not count the `resume` entries, as in the older form",
            ),
            (
                self.decided.as_ref().is_some_and(|decided| decided.case.drill.is_some()),
                "that no later drill went otherwise, and that the gate of the drill served this model",
            ),
            (true, "that nobody refused to sign: the authority says which sign-offs there are"),
            (true, "that the witnesses are independent of the authority, whose root names them"),
            (true, "that the program which asked the model asked nothing else of it, and asked it at all"),
            (anchor.root.is_none(), "that this is the authority you mean: pin its root"),
            (
                files > 1 && !remote,
                "anything of the registered files besides the one that the records say answered",
            ),
            (simulated, "anything of a real model: what answered is a simulated subject"),
            (remote && !simulated, "that the endpoint serves the model that it names"),
        ];
        said.iter().filter(|(applies, _)| *applies).map(|(_, text)| (*text).to_owned()).collect()
    }
    /// What is not shown of who chose the questions.
    fn choice(&self) -> &'static str {
        match self.seed.as_ref().map(|(_, tries)| *tries) {
            None | Some(Tries::Older) => {
                "that the authority did not choose the questions: its start is of an older form, without cosignatures, \
                 so it could try registrations as often as it liked before it published one"
            }
            Some(Tries::Alone) => {
                "that the authority did not choose the questions: its log asks for no witness, so it could try nonces \
                 of the registration as often as it liked before it published one"
            }
            Some(Tries::Witnessed(1)) => {
                "that the authority took the first questions it got: it had one try for each second in which it got \
                 the witness to cosign, which only the witness saw, and one for each time that it registered anew or \
                 signed a new root, which the log shows; with the witness's help it could try as it liked"
            }
            Some(Tries::Witnessed(_)) => {
                "that the authority took the first questions it got: it had one try for each set of witnesses that makes \
                 the quorum and each choice of their cosignatures up to 15 seconds apart, of which each gives one a \
                 second and only they saw it, and more for each time that it registered anew or signed a new root, \
                 which the log shows; with the help of a quorum it could try as it liked"
            }
        }
    }
}
