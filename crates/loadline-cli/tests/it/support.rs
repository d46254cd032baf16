//! Runs the real binary in a folder of its own.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use fancy_regex::Regex;

/// The binary under test.
pub const LOADLINE: &str = env!("CARGO_BIN_EXE_loadline");

/// A folder to work in, with a store and a cache of its own, and nothing of the environment but the path.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    dir: PathBuf,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A command that has not started.
    pub fn command<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).env("LOADLINE_CACHE", self.path("cache"));
        // Nothing in a test goes beyond this machine.
        command.env("HF_HUB_OFFLINE", "1").env("OPENAI_API_KEY", "sk-test-key");
        command
    }

    /// Runs `loadline` with these words.
    pub fn run(&self, line: &str) -> Said {
        self.run_args(line.split_whitespace())
    }

    pub fn run_args<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Said {
        self.said(self.command(LOADLINE, args).output().unwrap())
    }

    /// Starts `loadline` and does not wait for it.
    pub fn start(&self, line: &str) -> Child {
        let mut command = self.command(LOADLINE, line.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The gate of `gate.toml`, with its operator's key in a variable, once both of its doors are open.
    pub fn gate(&self, (variable, key): (&str, &str)) -> Child {
        let mut command = self.command(LOADLINE, ["gate", "serve", "gate.toml", "--threads", "2"]);
        command.env(variable, key).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut gate = command.spawn().unwrap();
        let mut lines = BufReader::new(gate.stderr.take().unwrap());
        let mut said = String::new();
        while said.matches("Listening").count() < 2 {
            assert!(lines.read_line(&mut said).unwrap() > 0, "the gate did not start: {said}");
        }
        // Nobody reads the rest; a pipe that is full must not stop the gate.
        std::thread::spawn(move || lines.read_to_string(&mut String::new()));
        gate
    }

    /// What a shell makes of this; `$LOADLINE` is the binary.
    pub fn shell(&self, script: &str) -> Said {
        let mut command = self.command("sh", ["-c", script]);
        self.said(command.env("LOADLINE", LOADLINE).output().unwrap())
    }

    pub fn said(&self, output: Output) -> Said {
        Said {
            // Ended by a signal: as a shell counts it.
            code: output.status.code().unwrap_or_else(|| {
                128 + std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or_default()
            }),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            dir: self.dir.path().to_owned(),
        }
    }

    /// The only run in the store.
    pub fn only_run(&self) -> PathBuf {
        let runs: Vec<_> = std::fs::read_dir(self.path("runs")).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.into_iter().next().unwrap()
    }

    /// A task file over `rows` sums, and its data.
    pub fn sums(&self, rows: usize) -> PathBuf {
        let data: String = (0..rows)
            .map(|i| format!("{{\"question\": \"{i} + 1\", \"answer\": \"{}\"}}\n", i + 1))
            .collect();
        self.write("sums.jsonl", data);
        self.write("sums.yaml", SUMS)
    }
}

/// A task file that asks for sums.
pub const SUMS: &str = "\
task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: sums.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: \"What is {{question}}?\"
doc_to_target: \"{{answer}}\"
generation_kwargs: {until: [\"\\n\"], max_gen_toks: 16, temperature: 0}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1.0}
";

impl Said {
    /// All of it, with what differs from one machine or moment to another replaced.
    pub fn text(&self) -> String {
        let mut text = format!("exit {}\n", self.code);
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                text.push_str(&format!("-- {name}\n{stream}"));
            }
        }
        filtered(&text, &self.dir)
    }

    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.text());
        self
    }

    /// Standard output as one JSON value for each line.
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Replaces times, ports, ids, digests and folders.
pub fn filtered(text: &str, dir: &Path) -> String {
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let mut text = text.replace(&*real.to_string_lossy(), "[DIR]").replace(&*dir.to_string_lossy(), "[DIR]");
    for (pattern, with) in [
        (r"sha256:[0-9a-f]{64}", "[DIGEST]"),
        (r"\b[0-9a-f]{32}\b", "[RUN]"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
        (r"in \d+(\.\d+)?s\b", "in [TIME]"),
        (r"cannot write \d+ bytes", "cannot write [N] bytes"),
        (r"byte \d+, row \d+", "byte [N], row [N]"),
        (r"\b[0-9a-f]{16}\b", "[CHECK]"),
        (r"(?<=show )[0-9a-f]{4,8}\b", "[ID]"),
        (r"(?<=compare )[0-9a-f]{4,8} [0-9a-f]{4,8}\b", "[ID] [ID]"),
        (r"(?<=run )[0-9a-f]{8}\b", "[ID]"),
        (r"(?<=Running |Resumed )[0-9a-f]{4,8}(?=:)", "[ID]"),
        (r"(?<=  )[0-9a-f]{4,5}$", "[ID]"),
        (r"(?<=  )[0-9a-f]{4,5}(?=  \d+ of)", "[ID]"),
    ] {
        let pattern = Regex::new(&format!("(?m){pattern}")).unwrap();
        text = pattern.replace_all(&text, with).into_owned();
    }
    text
}
