//! What a person sees while a run runs: one line at the foot of a terminal, or a line now and then in a log.
//!
//! Events only write numbers into a shared view; the terminal is drawn by [`Control`](crate::control::Control)'s
//! ticks, about ten times a second, so that a fast run is not slowed by being watched.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use loadline_core::RunId;
use loadline_measure::run::{CancelToken, InFlight, InFlightState, Progress, RunEvent};

use crate::control::{Respond, Watch};
use crate::store::short_ids;
use crate::ui::{self, Ui, count, thousands};

/// Most samples in flight that are listed.
const LISTED: usize = 12;
/// Least time between two lines in a log.
const PAUSE: Duration = Duration::from_secs(2);
/// Most samples given up that get a line of their own; the rest is counted.
const ERRORS_SHOWN: u64 = 5;

/// The view of all runs of a command, one at a time. Clones show the same.
#[derive(Clone)]
pub struct Live {
    ui: Ui,
    store: Arc<Path>,
    shared: Arc<Mutex<Shared>>,
}

/// What is measured on what.
#[derive(Clone, Debug)]
pub struct Name {
    /// The task.
    pub task: String,
    /// The model.
    pub model: String,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with {}", self.task, self.model)
    }
}

#[derive(Default)]
struct Shared {
    run: Option<Run>,
    cancel: CancelToken,
    stopping: bool,
}

/// The run being shown.
struct Run {
    id: String,
    began: Instant,
    resumed: u64,
    progress: Progress,
    retries: u64,
    errors_said: u64,
    tenths: u64,
    said: Instant,
    in_flight: InFlight,
    bar: Option<ProgressBar>,
}

impl Live {
    /// A view without a run yet. The store tells how short an id may be; `cancel` is what Ctrl-C cancels.
    pub fn new(ui: &Ui, store: &Path, cancel: CancelToken) -> Self {
        let shared = Shared { cancel, ..Shared::default() };
        Self { ui: ui.clone(), store: store.into(), shared: Arc::new(Mutex::new(shared)) }
    }

    /// How the command is watched while this is shown.
    pub fn watch(&self) -> Watch {
        Watch { keys: self.ui.is_live(), ticks: self.ui.is_live() }
    }

    /// Shows what a run says.
    pub fn event(&self, name: &Name, event: RunEvent) {
        match event {
            RunEvent::Started { run, resumed, total, in_flight } => {
                self.started(name, &run, (resumed, total), in_flight);
            }
            RunEvent::Progress(progress) => self.progress(*progress),
            RunEvent::Retrying { .. } => {
                if let Some(run) = &mut self.lock().run {
                    run.retries += 1;
                }
            }
            RunEvent::SampleError { sample, attempts, why, .. } => {
                let tried = count(attempts.into(), "attempt");
                self.gave_up(&format!("{} after {tried}: {}", sample.one_line(60), why.one_line(300)));
            }
            RunEvent::Finished => self.clear(),
            _ => {}
        }
    }

    fn started(&self, name: &Name, run: &RunId, (resumed, total): (u64, u64), in_flight: InFlight) {
        let id = short_ids(&self.store).of(run);
        if resumed > 0 {
            let reused = format_args!("{} of {} answers reused", thousands(resumed), thousands(total));
            self.ui.status("Resumed", format_args!("{id}: {name}, {reused}"));
        } else if !self.ui.is_live() {
            self.ui.status("Running", format_args!("{id}: {name}, {}", count(total, "answer")));
        }
        let bar = self.ui.is_live().then(|| {
            let style = ProgressStyle::with_template("  {prefix}  {bar:20.cyan/dim} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
            let bar = ProgressBar::new(total)
                .with_style(style)
                .with_prefix(format!("{}  {}", name.task, name.model));
            self.ui.bars().add(bar)
        });
        let progress = Progress { done: resumed, total, ..Progress::default() };
        let mut shared = self.lock();
        shared.run = Some(Run {
            id,
            began: Instant::now(),
            resumed,
            tenths: resumed * 10 / total.max(1),
            said: Instant::now(),
            progress,
            retries: 0,
            errors_said: 0,
            in_flight,
            bar,
        });
    }

    fn progress(&self, progress: Progress) {
        let mut shared = self.lock();
        let Some(run) = &mut shared.run else { return };
        let tenths = progress.done * 10 / progress.total.max(1);
        run.progress = progress;
        // In a log: a line for each tenth, at most one in two seconds, and none for what the result says in a moment.
        if run.bar.is_none()
            && tenths > run.tenths
            && run.said.elapsed() > PAUSE
            && run.progress.done < run.progress.total
        {
            (run.tenths, run.said) = (tenths, Instant::now());
            let line = format!("{}: {}", run.id, run.line());
            drop(shared);
            self.ui.status("Running", line);
        }
    }

    fn gave_up(&self, what: &str) {
        let said = match &mut self.lock().run {
            Some(run) => {
                run.errors_said += 1;
                run.errors_said
            }
            None => return,
        };
        if said <= ERRORS_SHOWN {
            self.ui.status_warn("Gave up", what);
        } else if said == ERRORS_SHOWN + 1 {
            self.ui.status_warn("Gave up", "more samples; `loadline show RUN` counts them");
        }
    }

    /// A run had all its answers before.
    pub fn complete_already(&self, name: &Name, run: &RunId, answers: u64) {
        let id = short_ids(&self.store).of(run);
        self.ui.status("Resumed", format_args!("{id}: {name}, all {} reused", count(answers, "answer")));
    }

    /// Takes the line of the run away, however it ended.
    pub fn clear(&self) {
        if let Some(run) = self.lock().run.take()
            && let Some(bar) = run.bar
        {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// `871/1319   34.9% [31.8, 38.1]   04:11, about 03:40 left`
    fn line(&self) -> String {
        let Progress { done, total, errors, .. } = self.progress;
        let all = thousands(total);
        let mut line = format!("{:>width$}/{all}", thousands(done), width = all.len());
        if let Some(estimate) = &self.progress.estimate {
            line.push_str(&format!("   {estimate}"));
        }
        let elapsed = self.began.elapsed();
        line.push_str(&format!("   {}", ui::clock(elapsed)));
        if let Some(left) = time_left(elapsed, done - self.resumed.min(done), total - done.min(total)) {
            line.push_str(&format!(", about {} left", ui::clock(left)));
        }
        if self.retries > 0 {
            line.push_str(&format!("   {} retries", thousands(self.retries)));
        }
        if errors > 0 {
            line.push_str(&format!("   {}", count(errors, "error")));
        }
        line
    }
}

/// How long the rest takes at the pace so far.
fn time_left(elapsed: Duration, done: u64, left: u64) -> Option<Duration> {
    if done == 0 || left == 0 {
        return None;
    }
    Duration::try_from_secs_f64(elapsed.as_secs_f64() / done as f64 * left as f64).ok()
}

impl Respond for Live {
    fn stop(&mut self) {
        let mut shared = self.lock();
        shared.stopping = true;
        shared.cancel.cancel();
        drop(shared);
        self.ui.status_warn("Stopping", "what is answered is kept; once more ends at once");
    }

    fn in_flight(&mut self) {
        let shared = self.lock();
        let Some(run) = &shared.run else { return };
        let (id, rows) = (run.id.clone(), run.in_flight.snapshot());
        drop(shared);
        let mut text = format!("{id}: {}", count(rows.len() as u64, "sample"));
        for row in rows.iter().take(LISTED) {
            let state = match row.state {
                InFlightState::Answer => "waits for the answer".to_owned(),
                InFlightState::Retry(wait) => format!("tries again in {}", ui::duration(wait)),
            };
            let times = format!("attempt {}, {}", row.attempt, ui::duration(row.elapsed));
            text.push_str(&format!("\n{:13}{}  {times}, {state}", "", row.id.one_line(60)));
        }
        if rows.len() > LISTED {
            text.push_str(&format!("\n{:13}and {} more", "", thousands((rows.len() - LISTED) as u64)));
        }
        self.ui.status("In flight", text);
    }

    fn tick(&mut self) {
        let mut shared = self.lock();
        let Some(run) = &mut shared.run else { return };
        let line = run.line();
        if let Some(bar) = &run.bar {
            bar.update(|state| state.set_pos(run.progress.done));
            bar.set_message(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_the_pace_says() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 10, 20), Some(Duration::from_secs(120)));
        assert_eq!(time_left(minute, 0, 20), None);
        assert_eq!(time_left(minute, 20, 0), None);
    }
}
