//! `loadline gate` and where its answers come from: servers by TLS, and models of its own process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use loadline_core::{Digest, Instant};
use loadline_exam::Manifest;
use loadline_policy::policy::Stage;
use loadline_testkit::authority::{TestAuthority, open_marks};
use loadline_testkit::endpoint::FakeEndpoint;
use loadline_testkit::gguf::{Family, Meta, Shape, Tiny, model};
use loadline_testkit::tls::{Pair, TlsFront};
use serde_json::{Value, json};

use crate::support::{LOADLINE, Said, Sandbox};

/// A folder with everything that a gate needs but its upstreams and models.
struct Place {
    sandbox: Sandbox,
    authority: TestAuthority,
    now: Instant,
    key: String,
    /// The beginning of the configuration.
    head: String,
}

impl Place {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let now = Instant::from_seconds(now).unwrap();
        let (sandbox, authority) = (Sandbox::new(), TestAuthority::new(now));
        sandbox.write("roots/1.json", authority.root());
        sandbox.write("standing.json", authority.standing(1, now, 3_600, &[]));
        let key =
            sandbox.run("gate key new keys.json --subject ada --role public").ok().stdout.trim().to_owned();
        let head = format!(
            "format = \"loadline-gate/1\"\nname = \"example.com/gate\"\nlisten = \"127.0.0.1:0\"\nstate = \"state\"\n\
             keys = \"keys.json\"\naudit = \"audit\"\n[authority]\nroots = \"roots\"\npin = \"{}\"\nstanding = \"STANDING\"\n\
             [stages]\ngeneral = [\"public\"]\n",
            authority.pin()
        );
        Self { sandbox, authority, now, key, head }
    }

    /// A licence for a model of this digest.
    fn license(&self, name: &str, digest: Digest) {
        let until = self.now.plus_days(1);
        let license = self.authority.license_about(name, digest, Stage::General, Some(open_marks()), until);
        self.sandbox.write(&format!("{name}.license"), license);
    }

    fn configure(&self, standing: &str, upstreams: &str) {
        self.sandbox.write("gate.toml", self.head.replace("STANDING", standing) + upstreams);
    }

    fn check(&self) -> Said {
        self.sandbox.run("gate check gate.toml")
    }

    fn serve(&self, environment: &[(&str, &str)]) -> Gate {
        let mut command = self.sandbox.command(LOADLINE, ["gate", "serve", "gate.toml"]);
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (say, said) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        let mut gate = Gate { child, said, heard: String::new(), address: None, key: self.key.clone() };
        let line = gate.hear("Listening");
        gate.address = line.rsplit("://").next().unwrap().trim().parse().ok();
        gate
    }
}

/// A gate that serves; ended when dropped.
struct Gate {
    child: Child,
    said: mpsc::Receiver<String>,
    heard: String,
    address: Option<SocketAddr>,
    key: String,
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gate {
    /// Waits until it says this, on its standard error; the line.
    fn hear(&mut self, wanted: &str) -> String {
        loop {
            let line = self.said.recv_timeout(Duration::from_secs(60));
            assert!(line.is_ok(), "it never said `{wanted}`: {}", self.heard);
            let line = line.unwrap();
            self.heard.push_str(&format!("{line}\n"));
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// Asks until the gate has the standing: it begins to look for one when it begins to serve.
    fn ask(&self, path: &str, body: &Value) -> (u16, String) {
        for _ in 0..3_000 {
            let (status, text) = self.once(path, body);
            if !text.contains("standing_missing") {
                return (status, text);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        unreachable!("the gate never had a standing: {}", self.heard);
    }

    fn once(&self, path: &str, body: &Value) -> (u16, String) {
        let (body, key) = (body.to_string(), &self.key);
        let mut stream = TcpStream::connect(self.address.unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            return (status, rest.to_owned());
        }
        let mut body = String::new();
        while let Some((size, after)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap();
            body.push_str(&after[..size]);
            rest = &after[size + 2..];
        }
        (status, body)
    }

    fn chat(&self, model: &str, more: Value) -> (u16, String) {
        let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "abc" }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.ask("/v1/chat/completions", &body)
    }
}

/// The text of a stream.
fn streamed(body: &str) -> String {
    let events = body.split("data: ").skip(1).filter(|data| !data.starts_with("[DONE]"));
    let events = events.map(|data| serde_json::from_str::<Value>(data.trim()).unwrap());
    events.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// Serves these bytes to everybody who asks.
fn web(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Who leaves early is no matter of ours.
            let _ = stream.read(&mut [0; 4_096]);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len());
            let _ = stream.write_all(&bytes);
        }
    });
    address
}

#[test]
fn upstreams_and_the_authority_are_reached_by_tls() {
    let place = Place::new();
    let endpoint = FakeEndpoint::builder().key("upstream-secret").start();
    let (trusted, unknown) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
    let front = TlsFront::start(&trusted, endpoint.address());
    let misnamed = TlsFront::start(&trusted, endpoint.address());
    let foreign = TlsFront::start(&unknown, endpoint.address());
    let authority = web(std::fs::read(place.sandbox.path("standing.json")).unwrap());
    let authority = TlsFront::start(&trusted, authority);
    let authorities = place.sandbox.write("authorities.pem", &trusted.certificate_pem);
    let mut upstreams = String::new();
    for (name, host, port) in [
        ("good", "localhost", front.port()),
        ("misnamed", "127.0.0.1", misnamed.port()),
        ("foreign", "localhost", foreign.port()),
    ] {
        place.license(name, Digest::of(name.as_bytes()));
        upstreams.push_str(&format!(
            "[[upstream]]\nname = \"{name}\"\nurl = \"https://{host}:{port}/v1\"\nkey_env = \"UPSTREAM_KEY\"\n\
             [[model]]\nname = \"{name}\"\nupstream = \"{name}\"\nlicense = \"{name}.license\"\n"
        ));
    }
    place.configure(&format!("https://localhost:{}/standing", authority.port()), &upstreams);
    let mut gate =
        place.serve(&[("UPSTREAM_KEY", "upstream-secret"), ("SSL_CERT_FILE", authorities.to_str().unwrap())]);
    gate.hear("Renewed");

    let (status, body) = gate.chat("good", json!({}));
    assert!(status == 200 && body.contains("The answer is 42."), "{status} {body}");
    let (status, body) = gate.chat("good", json!({ "stream": true }));
    assert_eq!((status, streamed(&body).as_str()), (200, "The answer is 42."), "{body}");
    assert_eq!(endpoint.counters().connections, 1, "the connection is kept");

    for (model, front, why) in
        [("misnamed", &misnamed, "not valid for name"), ("foreign", &foreign, "invalid peer certificate")]
    {
        let (status, body) = gate.chat(model, json!({}));
        assert!(status == 502 && body.contains("\"upstream_unreachable\""), "{status} {body}");
        let line = gate.hear("no connection to https://");
        assert!(line.contains(why) && line.contains("SSL_CERT_FILE"), "{line}");
        assert_eq!(front.said_bytes(), 0, "not a byte of a request, and no key");
        // Said once, not at each request.
        assert_eq!(gate.chat(model, json!({})).0, 502);
    }
    assert_eq!(gate.chat("good", json!({})).0, 200);
    drop(front);
    assert_eq!(gate.chat("good", json!({})).0, 502);
    assert!(gate.hear("no connection to https://").contains("localhost"));
    assert!(
        endpoint.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer upstream-secret"))
    );
}

/// A model small enough for a test, with a chat template.
fn tiny() -> Tiny {
    let template = "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}";
    model(&Shape::of(Family::Llama)).meta("tokenizer.chat_template", Meta::Text(template.to_owned()))
}

fn alone(name: &str, file: &str, bytes: &[u8]) -> Digest {
    Manifest::of_files(name, [(file.to_owned(), Digest::of(bytes))]).unwrap().digest().unwrap()
}

const LOCAL: &str = "[[upstream]]\nname = \"here\"\nlocal = \"models/tiny.gguf\"\nmodel_args = [\"threads=1\"]\n\
                     [[model]]\nname = \"tiny\"\nupstream = \"here\"\nlicense = \"tiny.license\"\n";

#[test]
fn a_model_of_this_process_is_served_like_any_other() {
    let place = Place::new();
    let bytes = tiny().bytes();
    place.sandbox.write("models/tiny.gguf", &bytes);
    place.license("tiny", alone("tiny", "tiny.gguf", &bytes));
    place.configure("standing.json", LOCAL);
    place.check().ok();
    let gate = place.serve(&[]);
    let whole = |more: Value| -> Value {
        let (status, body) = gate.chat("tiny", more);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    };
    let text = |answer: &Value| answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let asked = json!({ "max_tokens": 30, "temperature": 1.5, "seed": 3 });
    let answer = whole(asked.clone());
    assert!(text(&answer).len() > 8, "{answer}");
    // `<s>`, `a`, `b`, `c`, `<|end|>`.
    assert_eq!(answer["usage"]["prompt_tokens"], 5);
    assert_eq!(text(&whole(asked.clone())), text(&answer), "the same seed");
    let greedy = |seed: u64| text(&whole(json!({ "max_tokens": 20, "temperature": 0, "seed": seed })));
    assert_eq!(greedy(1), greedy(2));

    let mut stream = asked.clone();
    stream["stream"] = json!(true);
    stream["stream_options"] = json!({ "include_usage": true });
    let (status, body) = gate.chat("tiny", stream);
    assert_eq!((status, streamed(&body)), (200, text(&answer)), "{body}");
    assert!(body.contains(&answer["usage"].to_string()), "{body}");

    let stop = &text(&answer)[3..6];
    let mut stopped = asked.clone();
    stopped["stop"] = json!([stop]);
    let cut = whole(stopped);
    assert_eq!(text(&cut), text(&answer)[..text(&answer).find(stop).unwrap()]);
    assert_eq!(cut["choices"][0]["finish_reason"], "stop");

    let long = json!({ "model": "tiny", "prompt": "abcdefghij".repeat(10), "max_tokens": 1 });
    let (status, body) = gate.ask("/v1/completions", &long);
    assert!(status == 400 && body.contains("context_too_long") && body.contains("is 64"), "{status} {body}");
    let (status, body) = gate.chat("tiny", json!({ "temperature": -1 }));
    assert!(status == 400 && body.contains("temperature -1 is not 0 or above"), "{status} {body}");
}

#[test]
fn weights_that_are_not_the_licensed_ones_are_not_served() {
    let place = Place::new();
    let bytes = tiny().bytes();
    place.sandbox.write("models/tiny.gguf", &bytes);
    place.license("tiny", Digest::of(b"what an endpoint said of itself"));
    place.configure("standing.json", LOCAL);
    let said = place.check();
    assert_eq!(said.code, 40, "{}", said.text());
    for words in [
        "tiny.license`",
        "is not its model: the licence is about",
        "help: serve the file that was registered",
    ] {
        assert!(said.stderr.contains(words), "{words}: {}", said.text());
    }
    assert!(
        said.stderr.contains("gate.toml:") && said.stderr.contains("license = \"tiny.license\""),
        "{}",
        said.text()
    );

    // Registered with another file beside it: the manifest says so.
    let both = [("card.md".to_owned(), Digest::of(b"card")), ("tiny.gguf".to_owned(), Digest::of(&bytes))];
    let manifest = Manifest::of_files("tiny", both).unwrap();
    place.sandbox.write("manifest.json", manifest.to_bytes().unwrap());
    place.license("tiny", manifest.digest().unwrap());
    assert!(place.check().stderr.contains("is not its model"));
    let named = LOCAL.to_owned() + "manifest = \"manifest.json\"\n";
    place.configure("standing.json", &named);
    place.check().ok();
    // Another file by the same name, and what is no model.
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    place.sandbox.write("models/tiny.gguf", &other);
    let said = place.check();
    assert!(said.stderr.contains("the manifest does not list it"), "{}", said.text());
    let serve = place.sandbox.run("gate serve gate.toml");
    assert!(serve.code == 40 && !serve.stderr.contains("Listening"), "{}", serve.text());
    place.sandbox.write("models/tiny.gguf", b"no model");
    let said = place.check();
    assert!(said.stderr.contains("`upstream.local`: cannot load gguf/"), "{}", said.text());
    place.configure("standing.json", &LOCAL.replace("models/tiny.gguf", "qwen2.5-coder-0.5b-instrct"));
    let said = place.check();
    assert!(
        said.stderr.contains("no model `qwen2.5-coder-0.5b-instrct`") && said.stderr.contains("did you mean"),
        "{}",
        said.text()
    );
    place.configure("standing.json", &LOCAL.replace("threads=1", "treads=1"));
    assert!(place.check().stderr.contains("did you mean `threads`?"));
}

#[test]
fn a_real_model_is_served() {
    let file = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";
    let Some(path) = loadline_testkit::model_file(file) else { return };
    let place = Place::new();
    std::fs::create_dir_all(place.sandbox.path("cache/models")).unwrap();
    std::os::unix::fs::symlink(&path, place.sandbox.path(&format!("cache/models/{file}"))).unwrap();
    let weights = "sha256:1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32".parse().unwrap();
    let name = "qwen2.5-coder-0.5b-instruct";
    let model = Manifest::of_files(name, [(file.to_owned(), weights)]).unwrap().digest().unwrap();
    place.license(name, model);
    let local = LOCAL.replace("models/tiny.gguf", name).replace("tiny", name);
    place.configure("standing.json", &local);
    let gate = place.serve(&[]);
    let question = json!([{ "role": "user", "content": "What is 2 + 3? Answer with the number only." }]);
    let asked = json!({ "messages": question, "max_tokens": 8, "temperature": 0, "stream": true });
    let (status, body) = gate.chat(name, asked);
    assert_eq!(status, 200, "{body}");
    assert!(streamed(&body).contains('5'), "{body}");
}
