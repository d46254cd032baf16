//! The runner as a client: start-up, throughput, latency, memory, kills and faults, against the mock endpoint.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::process::{Used, build, median, root, run};

struct Bench {
    loadline: PathBuf,
    mock: PathBuf,
    /// Problems, made by `../shared/bench/setup.sh`.
    data: PathBuf,
    /// Task files and stores of this run.
    scratch: PathBuf,
    runs: usize,
}

/// `cargo xtask bench runner`.
pub fn bench(words: &[&str]) -> Result<(), String> {
    let setup = root().join("../shared/bench/setup.sh");
    let peers = words.contains(&"--peers");
    let status = Command::new("bash")
        .arg(&setup)
        .args(if peers { &["mock", "lmeval"][..] } else { &["mock"] })
        .status();
    if !status.is_ok_and(|status| status.success()) {
        return Err(format!("{} failed: the mock endpoint is needed", setup.display()));
    }
    let home = std::env::var_os("HOME").ok_or("HOME is not set")?;
    let data = std::env::var_os("BENCH")
        .map_or_else(|| Path::new(&home).join(".cache/loadline-bench"), PathBuf::from);
    let bench = Bench {
        loadline: build(&["--package", "loadline-cli"], "loadline")?,
        mock: data.join("mock-target/release/mock-openai"),
        data,
        scratch: std::env::temp_dir().join(format!("loadline-bench-{}", std::process::id())),
        runs: crate::runs(words)?,
    };
    std::fs::create_dir_all(&bench.scratch).map_err(|error| error.to_string())?;
    println!("medians of {} runs [lowest, highest]; whole-process figures", bench.runs);
    let only = crate::flag(words, "--only");
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let outcome = (|| {
        if wanted("start") {
            bench.start()?;
        }
        if wanted("zero") {
            bench.zero_latency(peers)?;
        }
        if wanted("slow") {
            bench.latency()?;
        }
        if wanted("kill") {
            bench.kills()?;
        }
        if wanted("faults") {
            bench.faults()?;
        }
        Ok(())
    })();
    let _ = std::fs::remove_dir_all(&bench.scratch);
    outcome
}

/// A mock endpoint, ended when dropped.
struct Mock {
    child: Child,
    port: u16,
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mock {
    /// Asks for a page of the mock itself: `GET /stats`, `POST /reset`.
    fn ask(&self, method: &str, path: &str) -> Result<String, String> {
        let text = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let text = text().map_err(|error| format!("mock: {error}"))?;
        Ok(text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    }

    fn stat(&self, name: &str) -> Result<u64, String> {
        let stats: serde_json::Value =
            serde_json::from_str(&self.ask("GET", "/stats")?).map_err(|error| error.to_string())?;
        stats[name].as_u64().ok_or_else(|| format!("the mock counts no `{name}`"))
    }
}

impl Bench {
    fn mock(&self, answers: &Path, flags: &[&str]) -> Result<Mock, String> {
        // Asks the system for a free port, then hands it to the mock.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?
            .port();
        let child = Command::new(&self.mock)
            .args(["--listen", &format!("127.0.0.1:{port}"), "--answers"])
            .arg(answers)
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.mock.display()))?;
        let mock = Mock { child, port };
        for _ in 0..500 {
            if mock.ask("GET", "/stats").is_ok() {
                return Ok(mock);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("the mock endpoint does not answer".to_owned())
    }

    fn problems(&self, count: &str) -> PathBuf {
        self.data.join(format!("arith{count}.jsonl"))
    }

    /// A task file over these problems, in the words of the peer's own task file.
    fn task(&self, problems: &Path) -> Result<PathBuf, String> {
        let template = root().join("../shared/bench/peers/lmeval/arith.yaml.in");
        let text =
            std::fs::read_to_string(&template).map_err(|error| format!("{}: {error}", template.display()))?;
        let stem = problems.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let text = text.replace("arith@N@.jsonl", &format!("{stem}.jsonl")).replace("arith@N@", &stem);
        let folder = problems.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        let path = self.scratch.join(format!("{stem}.yaml"));
        std::fs::write(&path, text.replace("@DIR@", &folder)).map_err(|error| error.to_string())?;
        Ok(path)
    }

    fn measure(&self, mock: &Mock, problems: &Path, store: &str, more: &[&str]) -> Result<Command, String> {
        let mut command = Command::new(&self.loadline);
        command
            .arg("measure")
            .arg(self.task(problems)?)
            .args([
                "--model",
                "openai/mock",
                "--json",
                "--base-url",
                &format!("http://127.0.0.1:{}/v1", mock.port),
            ])
            .arg("--store")
            .arg(self.scratch.join(store))
            .args(more)
            .env("OPENAI_API_KEY", "none");
        Ok(command)
    }

    fn several(
        &self,
        what: &str,
        command: impl Fn(&str) -> Result<Command, String>,
    ) -> Result<Vec<Used>, String> {
        (0..self.runs)
            .map(|index| {
                let used = run(&mut command(&format!("{what}-{index}"))?)?;
                let _ = std::fs::remove_dir_all(self.scratch.join(format!("{what}-{index}")));
                match used.code {
                    Some(0) => Ok(used),
                    code => Err(format!("{what}: exit code {code:?}\n{}", used.stdout)),
                }
            })
            .collect()
    }

    fn start(&self) -> Result<(), String> {
        let problems = self.problems("1");
        let mock = self.mock(&problems, &[])?;
        let used = self.several("start", |store| self.measure(&mock, &problems, store, &[]))?;
        row("start-up, 1 sample, CPU s", median(used.iter().map(|used| used.cpu_s)), "reach 0.10");
        Ok(())
    }

    fn zero_latency(&self, peers: bool) -> Result<(), String> {
        let many = self.hundred_thousand()?;
        let mut peaks = Vec::new();
        for problems in [self.problems("10k"), many] {
            let mock = self.mock(&problems, &[])?;
            let used = self
                .several("zero", |store| self.measure(&mock, &problems, store, &["--concurrency", "200"]))?;
            let count = if peaks.is_empty() { "10,000" } else { "100,000" };
            let goal = if peaks.is_empty() { "reach 2.0, aim 1.0" } else { "" };
            row(
                &format!("{count} samples, no latency, CPU s"),
                median(used.iter().map(|used| used.cpu_s)),
                goal,
            );
            row(&format!("{count} samples, wall s"), median(used.iter().map(|used| used.wall_s)), "");
            peaks.push(median(used.iter().map(|used| used.peak_mib)));
            row(&format!("{count} samples, peak MiB"), peaks[peaks.len() - 1], "reach 64");
            println!("  {}", used[0].stdout.trim());
        }
        println!("peak at 100,000 over peak at 10,000: {:.3} (reach within 1.10)", peaks[1].0 / peaks[0].0);
        if peers {
            let problems = self.problems("10k");
            let mock = self.mock(&problems, &[])?;
            let mut peer = Command::new("bash");
            peer.arg(root().join("../shared/bench/run.sh")).args(["lmeval", "10k", "200"]);
            let used = run(peer.env("MOCK_PORT", mock.port.to_string()))?;
            println!(
                "lm_eval, the same 10,000 once: {:.2} CPU s, {:.0} MiB, exit {:?}",
                used.cpu_s, used.peak_mib, used.code
            );
        }
        Ok(())
    }

    /// The 10,000 problems ten times over, each copy worded a little differently. Written line by line: a child's
    /// peak memory as the kernel counts it begins with that of the process that starts it, so this one stays small.
    fn hundred_thousand(&self) -> Result<PathBuf, String> {
        let path = self.scratch.join("arith100k.jsonl");
        let write = || -> std::io::Result<()> {
            let mut all = BufWriter::new(File::create(&path)?);
            for copy in 0..10 {
                for line in BufReader::new(File::open(self.problems("10k"))?).lines() {
                    writeln!(
                        all,
                        "{}",
                        line?.replacen("Reply with", &format!("(Paper {copy}.) Reply with"), 1)
                    )?;
                }
            }
            all.flush()
        };
        write().map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    fn latency(&self) -> Result<(), String> {
        let problems = self.problems("2k");
        let mock = self.mock(&problems, &["--latency-ms", "200"])?;
        let used =
            self.several("slow", |store| self.measure(&mock, &problems, store, &["--concurrency", "500"]))?;
        row(
            "2,000 samples at 200 ms, concurrency 500, wall / 0.8 s",
            median(used.iter().map(|u| u.wall_s / 0.8)),
            "reach 1.25",
        );
        row("  CPU s", median(used.iter().map(|used| used.cpu_s)), "");
        Ok(())
    }

    fn kills(&self) -> Result<(), String> {
        let problems = self.problems("2k");
        let mock = self.mock(&problems, &["--latency-ms", "200"])?;
        let whole = run(&mut self.measure(&mock, &problems, "whole", &["--concurrency", "50"])?)?;
        let mut paid = Vec::new();
        for index in 0..10 {
            mock.ask("POST", "/reset")?;
            let store = format!("kill-{index}");
            let command = || self.measure(&mock, &problems, &store, &["--concurrency", "50"]);
            let mut child = command()?
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| error.to_string())?;
            while mock.stat("ok")? < 950 {
                std::thread::sleep(Duration::from_millis(5));
            }
            // The mock answers in bursts 200 ms apart and the count is seen to rise in one of them: the ten kills
            // are spread evenly over the time between two bursts.
            std::thread::sleep(Duration::from_millis(20 * index));
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
            let resumed = run(&mut command()?)?;
            let same = metrics(&resumed.stdout) == metrics(&whole.stdout);
            let answered = mock.stat("distinct_answered")?;
            paid.push(mock.stat("paid_twice")?);
            if !same || answered != 2000 || resumed.code != Some(0) {
                println!("kill {index}: exit {:?}, {answered} answered, same result: {same}", resumed.code);
                println!("  {}\n  {}", whole.stdout.trim(), resumed.stdout.trim());
            }
        }
        println!(
            "kill -9 half-way, ten times: paid twice {paid:?} (reach ≤ 3 each); any difference is printed above"
        );
        Ok(())
    }

    fn faults(&self) -> Result<(), String> {
        let problems = self.problems("1k");
        let rates =
            [("once", ["0.05", "0.05", "0.02", "0.01"]), ("doubled", ["0.10", "0.10", "0.04", "0.02"])];
        for (name, [p429, p500, ptrunc, phang]) in rates {
            let mock = self.mock(
                &problems,
                &[
                    "--latency-ms",
                    "20",
                    "--p429",
                    p429,
                    "--p500",
                    p500,
                    "--ptrunc",
                    ptrunc,
                    "--phang",
                    phang,
                    "--retry-after",
                    "1",
                    "--hang-s",
                    "60",
                ],
            )?;
            let flags = ["--concurrency", "100", "--attempt-timeout", "5s"];
            let used = run(&mut self.measure(&mock, &problems, &format!("faults-{name}"), &flags)?)?;
            println!(
                "faults {name}: exit {:?} (reach 0), {} requests, {} answered, wall {:.1} s, CPU {:.2} s\n  {} (reach 0.683, n 1000)",
                used.code,
                mock.stat("requests")?,
                mock.stat("distinct_answered")?,
                used.wall_s,
                used.cpu_s,
                used.stdout.trim()
            );
        }
        Ok(())
    }
}

/// The metrics of a result line, without the run's own names.
fn metrics(line: &str) -> Option<serde_json::Value> {
    serde_json::from_str::<serde_json::Value>(line.trim()).ok().map(|result| result["metrics"].clone())
}

fn row(what: &str, (middle, low, high): (f64, f64, f64), goal: &str) {
    println!("{what:<58} {middle:>8.3} [{low:.3}, {high:.3}]  {goal}");
}
