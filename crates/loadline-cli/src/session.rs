//! One command's runs: tasks × models, one after the other, with a view, Ctrl-C, a budget, and a table at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadline_core::Model;
use loadline_core::untrusted::one_line;
use loadline_evidence::Store;
use loadline_measure::results::ResultsError;
use loadline_measure::run::{
    self, Budget, CancelToken, RunError, RunEvent, RunOptions, RunOutcome, RunStatus,
};

use crate::authority::sequential::Sequential;
use crate::control::Control;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::live::{Live, Name};
use crate::models::{Choice, Settings};
use crate::results;
use crate::store::{record_failure, short_ids};
use crate::tasks::{Ready, task_failure};
use crate::ui::{self, Ui, count};

/// What is run, and how.
pub struct Session {
    /// The tasks.
    pub tasks: Vec<Ready>,
    /// The models.
    pub models: Vec<Choice>,
    /// Settings of the models.
    pub settings: Settings,
    /// How each task is run; seed and limit are the task's, the budget is what is left of it.
    pub options: RunOptions,
    /// Longest time for one attempt, when the user says so. Otherwise a model in this process has all the time it
    /// needs, and an endpoint what [`RunOptions`] gives it.
    pub attempt_timeout: Option<Duration>,
    /// Folder of the records.
    pub store: PathBuf,
    /// Results as JSON.
    pub json: bool,
}

/// What came of a session.
pub struct Report {
    /// Runs that have results, in order.
    pub outcomes: Vec<RunOutcome>,
    /// The gravest end of any run.
    pub exit: Exit,
    elapsed: Duration,
}

impl Session {
    /// Runs all of it. What goes wrong with one run is said and does not stop the others; a full disk, a cancel and
    /// a budget that is used up do.
    ///
    /// # Errors
    /// When the signals or the runtime cannot be set up, or the only run failed.
    pub fn run(&self, ui: &Ui) -> Result<Report> {
        let models = self.models.iter();
        let opened = models.map(|choice| (choice.is_in_process(), move || choice.open(&self.settings)));
        self.run_opened(opened.collect(), ui)
    }

    /// Runs all of it with one model that is open already, whatever models the session names.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_with(&self, model: &Arc<dyn Model>, is_in_process: bool, ui: &Ui) -> Result<Report> {
        self.run_opened(vec![(is_in_process, || Ok(Arc::clone(model)))], ui)
    }

    fn run_opened<F: FnOnce() -> Result<Arc<dyn Model>>>(
        &self,
        models: Vec<(bool, F)>,
        ui: &Ui,
    ) -> Result<Report> {
        let began = Instant::now();
        let cancel = CancelToken::new();
        let live = Live::new(ui, &self.store, cancel.clone());
        let io = |error| Failure::io("cannot start", &error);
        let _control = Control::start(live.watch(), live.clone()).map_err(io)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let mut report = Report { outcomes: Vec::new(), exit: Exit::Ok, elapsed: Duration::ZERO };
        let mut budget = self.options.budget;
        let only = self.tasks.len() * models.len() == 1;
        'models: for (is_in_process, open) in models {
            let patience = if is_in_process { None } else { self.options.attempt_timeout };
            let attempt_timeout = self.attempt_timeout.or(patience);
            let model = match open() {
                Ok(model) => model,
                Err(failure) if only => return Err(failure),
                Err(failure) => {
                    report.failed(&failure, ui);
                    continue;
                }
            };
            for ready in &self.tasks {
                let (seed, limit) = (ready.seed, ready.limit);
                let options = RunOptions { seed, limit, budget, attempt_timeout, ..self.options.clone() };
                match runtime.block_on(self.measure(ready, &model, &options, &live, &cancel)) {
                    Ok(outcome) => {
                        spend(&mut budget, &outcome);
                        report.add(outcome);
                    }
                    Err(error) if only => return Err(run_failure(&error)),
                    Err(error) => report.failed(&run_failure(&error), ui),
                }
                if cancel.is_cancelled() || matches!(report.exit, Exit::Unexpected | Exit::BudgetReached) {
                    break 'models;
                }
            }
        }
        if cancel.is_cancelled() {
            report.exit = report.exit.worst(Exit::Cancelled);
        }
        report.elapsed = began.elapsed();
        Ok(report)
    }

    async fn measure(
        &self,
        ready: &Ready,
        model: &Arc<dyn Model>,
        options: &RunOptions,
        live: &Live,
        cancel: &CancelToken,
    ) -> std::result::Result<RunOutcome, RunError> {
        let task = one_line(&ready.task.identity.name, 60);
        let name = Name { task, model: one_line(&model.reference().to_string(), 60) };
        let store = Store::open(&self.store);
        let outcome = match &ready.sequential {
            None => {
                let show = |event| live.event(&name, event);
                run::measure(&ready.task, Arc::clone(model), &store, options, show, cancel).await
            }
            Some(sequential) => {
                let early = Early { ready, model, store: &store, options, cancel };
                early.measure(sequential.clone(), |event| live.event(&name, event)).await
            }
        };
        live.clear();
        if let Ok(outcome) = &outcome
            && outcome.requests == 0
            && outcome.status == RunStatus::Complete
        {
            live.complete_already(&name, &outcome.run, outcome.resumed);
        }
        outcome
    }

    /// Says what came of it: a line, and the table (or JSON). A reader that went away does not change how the
    /// command ends: the runs are what they are.
    ///
    /// # Errors
    /// When standard output cannot be written for another reason.
    pub fn show(&self, report: &Report, ui: &Ui) -> Result<()> {
        if !report.outcomes.is_empty() {
            ui.status(report.verb(), report.summary());
        }
        match self.print(report, ui) {
            Err(failure) if failure.closed_pipe => Ok(()),
            printed => printed,
        }
    }

    fn print(&self, report: &Report, ui: &Ui) -> Result<()> {
        let ids = short_ids(&self.store);
        let mut out = ui.out();
        if self.json {
            for outcome in &report.outcomes {
                out.json(&outcome.results.line())?;
            }
        } else {
            results::table(report.outcomes.iter().map(|outcome| &outcome.results), &ids)
                .write(&mut out, 4)?;
        }
        out.finish()
    }
}

impl Report {
    fn add(&mut self, outcome: RunOutcome) {
        self.exit = self.exit.worst(match outcome.status {
            RunStatus::Complete => Exit::Ok,
            RunStatus::SomeErrored => Exit::SamplesErrored,
            RunStatus::Cancelled => Exit::Cancelled,
            RunStatus::BudgetReached => Exit::BudgetReached,
        });
        self.outcomes.push(outcome);
    }

    fn failed(&mut self, failure: &Failure, ui: &Ui) {
        ui.failure(failure);
        self.exit = self.exit.worst(failure.exit);
    }

    fn verb(&self) -> &'static str {
        match self.exit {
            Exit::Cancelled => "Cancelled",
            Exit::BudgetReached => "Stopped",
            _ => "Finished",
        }
    }

    /// `2 runs in 7m 52s, 0 errors, 3 unscored`
    fn summary(&self) -> String {
        let errors: u64 = self.outcomes.iter().map(|outcome| outcome.results.errors).sum();
        let unscored: u64 =
            self.outcomes.iter().filter_map(|o| o.results.metrics.first()).map(|m| m.unscored).sum();
        let unscored = unscored.saturating_sub(errors);
        let mut text = format!(
            "{} in {}, {}",
            count(self.outcomes.len() as u64, "run"),
            ui::duration(self.elapsed),
            count(errors, "error")
        );
        if unscored > 0 {
            text.push_str(&format!(", {} unscored", ui::thousands(unscored)));
        }
        text
    }
}

/// A run that may stop as soon as its test is decided.
struct Early<'a> {
    ready: &'a Ready,
    model: &'a Arc<dyn Model>,
    store: &'a Store,
    options: &'a RunOptions,
    cancel: &'a CancelToken,
}

impl Early<'_> {
    /// Measures until every sample is answered or the answers decide the test; then the record is sealed as it is.
    async fn measure(
        &self,
        mut sequential: Sequential,
        mut show: impl FnMut(RunEvent) + Send,
    ) -> std::result::Result<RunOutcome, RunError> {
        let own = CancelToken::new();
        if sequential.is_decided() {
            // Decided by answers that were there before: nothing more is asked.
            own.cancel();
        }
        let stop = own.clone();
        let sequential = &mut sequential;
        let events = |event: RunEvent| {
            if let RunEvent::Answered { index, value, .. } = event
                && sequential.take(index, value)
            {
                stop.cancel();
            }
            show(event);
        };
        let (task, model) = (&self.ready.task, Arc::clone(self.model));
        let mut outcome = {
            let run = run::measure(task, model, self.store, self.options, events, &own);
            let mut run = std::pin::pin!(run);
            tokio::select! {
                biased;
                outcome = &mut run => outcome?,
                () = self.cancel.cancelled() => {
                    own.cancel();
                    run.await?
                }
            }
        };
        if outcome.status == RunStatus::Cancelled && sequential.is_decided() {
            let (_, writer) = self.store.resume(&outcome.run)?;
            writer.seal()?;
            outcome.status = RunStatus::Complete;
        }
        Ok(outcome)
    }
}

/// Takes what a run spent off the budget of the rest.
fn spend(budget: &mut Budget, outcome: &RunOutcome) {
    let tokens = outcome.usage.input_tokens.saturating_add(outcome.usage.output_tokens);
    budget.requests = budget.requests.map(|left| left.saturating_sub(outcome.requests));
    budget.tokens = budget.tokens.map(|left| left.saturating_sub(tokens));
    budget.time = budget.time.map(|left| left.saturating_sub(outcome.elapsed));
}

/// What an error of a run means for the command.
fn run_failure(error: &RunError) -> Failure {
    let exit = match error {
        RunError::Model { .. } | RunError::Unreachable { .. } => Exit::ModelUnreachable,
        RunError::Task(error) => return task_failure(error),
        RunError::TaskChanged { .. } => Exit::TaskInvalid,
        RunError::Record(error) | RunError::Results(ResultsError::Record(error)) => {
            return record_failure(error);
        }
        RunError::Options { .. } => Exit::Usage,
        _ => Exit::Unexpected,
    };
    Failure::of(exit, error).maybe_hint(error.hint())
}
