//! From the text of a configuration to its values, with everything that is wrong said at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_policy::document::{self, Reader};
use loadline_policy::policy::Stage;
use loadline_policy::{Named as _, Problems};

use super::guards::guard;
use super::watches::watch;
use super::{
    AdminConfig, Api, AuthorityConfig, CONFIG_FORMAT, Config, FileRef, HttpConfig, LimitsConfig, ModelConfig,
    ResidentConfig, StandingSource, TlsConfig, UpstreamConfig, WayConfig, observe,
};
use crate::ledger::Keep;
use crate::upstream::Address;

/// The longest time of any key, in milliseconds: a day.
const MOST_MS: u64 = 86_400_000;

/// Reads a configuration. Paths in it are relative to `folder`. No other file is opened.
///
/// # Errors
/// Everything that is wrong, in the order of the lines.
pub fn parse(text: &str, folder: &Path) -> Result<Config, Problems> {
    document::read(text, |root| build(root, text, folder))
}

fn build(root: &Reader<'_, '_>, text: &str, folder: &Path) -> Config {
    root.format(CONFIG_FORMAT);
    let listen = address(root, "listen");
    let admin = root.table_if("admin").map(|table| admin(&table, listen));
    let authority = root.table("authority", |table| authority(table, folder));
    let limits = root.table_if("limits");
    let tls = root.table_if("tls").map(|table| TlsConfig {
        certificate: FileRef { key: "tls.certificate".to_owned(), ..file(&table, "certificate", folder) },
        key: FileRef { key: "tls.key".to_owned(), ..file(&table, "key", folder) },
    });
    let witnesses = root.table_if("witnesses").map(|table| observe::witnesses(&table, folder));
    let traces = root.table_if("traces").map(|table| observe::traces(&table));
    let upstreams: Vec<_> = root.tables("upstream").iter().map(|table| upstream(table, folder)).collect();
    let models: Vec<_> = root.tables("model").iter().map(|table| model(table, folder, &upstreams)).collect();
    let guards: Vec<_> =
        root.tables("guard").iter().map(|table| guard(table, folder, &models, &upstreams)).collect();
    let watches: Vec<_> =
        root.tables("watch").iter().map(|table| watch(table, folder, &models, &guards)).collect();
    doubled(root, "watch", watches.iter().map(|watch| &watch.name));
    doubled(root, "guard", guards.iter().map(|guard| &guard.name));
    doubled(root, "upstream", upstreams.iter().map(|upstream| &upstream.name));
    doubled(root, "model", models.iter().map(|model| &model.name));
    if models.is_empty() {
        root.problem("model", "there is no model", "add one under `[[model]]`");
    }
    let name = root.name("name");
    if name.contains("//") || name.starts_with('/') {
        root.problem("name", "is not a URL without scheme", "for example `gate.example.org/audit`");
    }
    Config {
        name,
        listen,
        state: folder.join(root.text("state")),
        region: root.has("region").then(|| root.name("region")),
        authority: authority.unwrap_or_else(|| empty_authority(root)),
        admin,
        tls,
        limits: self::limits(limits.as_ref()),
        keys: file(root, "keys", folder),
        audit: folder.join(root.text("audit")),
        witnesses,
        traces,
        roles: roles(root),
        upstreams,
        models,
        guards,
        watches,
        digest: Digest::of(text.as_bytes()),
    }
}

/// Stands in where the table is missing, which is noted already.
fn empty_authority(root: &Reader<'_, '_>) -> AuthorityConfig {
    let roots = FileRef { path: Path::new("").into(), place: root.place(""), key: String::new() };
    let standing = StandingSource::File(Path::new("").into());
    AuthorityConfig { roots, pin: Digest([0; 32]), standing, every: Duration::ZERO }
}

fn address(table: &Reader<'_, '_>, key: &'static str) -> SocketAddr {
    let text = table.text(key);
    text.parse().unwrap_or_else(|_| {
        if !text.is_empty() {
            let message = format!("`{}` is not an address", one_line(&text, 60));
            table.problem(key, message, "an IP address and a port, such as `127.0.0.1:8080`");
        }
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}

pub(super) fn file(table: &Reader<'_, '_>, key: &'static str, folder: &Path) -> FileRef {
    FileRef { path: folder.join(table.text(key)), place: table.place(key), key: key.to_owned() }
}

fn variable(table: &Reader<'_, '_>, key: &'static str) -> String {
    let text = table.text(key);
    let good = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !good {
        // The text may be the key itself, put here by mistake: it is not shown.
        let hint = "letters, digits and `_`; the secret itself never stands in this file";
        table.problem(key, "is not the name of an environment variable", hint);
    }
    text
}

/// Reads the table `[admin]` of a server: its operator's door stays on this machine, beside its public address.
pub fn admin(table: &Reader<'_, '_>, public: SocketAddr) -> AdminConfig {
    let listen = address(table, "listen");
    if !listen.ip().is_loopback() {
        let message = format!("`{listen}` is not a loopback address");
        table.problem("listen", message, "the operator's door stays on this machine: `127.0.0.1:PORT`");
    }
    if listen == public && listen.port() != 0 {
        table.problem("listen", "is the public address", "take another port");
    }
    AdminConfig { listen, key_env: variable(table, "key_env") }
}

fn authority(table: &Reader<'_, '_>, folder: &Path) -> AuthorityConfig {
    let pin = table.text("pin");
    let pin = pin.parse().unwrap_or_else(|_| {
        if !pin.is_empty() {
            let message = format!("`{}` is not a digest", one_line(&pin, 80));
            table.problem("pin", message, "`loadline authority show` prints it: `sha256:` and 64 digits");
        }
        Digest([0; 32])
    });
    let standing = table.text("standing");
    let standing = match standing.split_once("://") {
        None => StandingSource::File(folder.join(standing)),
        Some(_) => {
            if let Err(why) = Address::parse(&standing) {
                table.problem("standing", why, "a file, or `https://HOST:PORT/PATH`");
            }
            StandingSource::Http(standing)
        }
    };
    let every = table.count_if("every_s", 1, 3_600).unwrap_or(5);
    AuthorityConfig { roots: file(table, "roots", folder), pin, standing, every: Duration::from_secs(every) }
}

fn millis(table: &Reader<'_, '_>, key: &'static str, default: u64) -> Duration {
    Duration::from_millis(table.count_if(key, 1, MOST_MS).unwrap_or(default))
}

fn limits(table: Option<&Reader<'_, '_>>) -> LimitsConfig {
    let count = |key, least, most, default| {
        table.and_then(|table| table.count_if(key, least, most)).unwrap_or(default)
    };
    let size =
        |key, least, most, default| usize::try_from(count(key, least, most, default)).unwrap_or(usize::MAX);
    let time = |key, default| Duration::from_millis(count(key, 1, MOST_MS, default));
    LimitsConfig {
        connections: size("connections", 1, 1_000_000, 8_192),
        header_bytes: size("header_bytes", 8_192, 1 << 20, 32_768),
        header: time("header_ms", 10_000),
        request_bytes: size("request_bytes", 1_024, 1 << 30, 16 << 20),
        body: time("body_ms", 30_000),
        write: time("write_ms", 60_000),
        response_bytes: count("response_bytes", 1_024, 1 << 40, 256 << 20),
        depth: size("depth", 4, 128, 64),
        default_output_tokens: count("default_output_tokens", 1, 10_000_000, 4_096),
        drain: time("drain_ms", 30_000),
    }
}

fn roles(root: &Reader<'_, '_>) -> BTreeMap<Stage, BTreeSet<String>> {
    let read = |table: &Reader<'_, '_>| {
        let stages = Stage::ALL.iter().map(|stage| (*stage, table.texts(stage.name())));
        stages
            .filter(|(_, roles)| !roles.is_empty())
            .map(|(stage, roles)| (stage, roles.into_iter().collect()))
            .collect()
    };
    let stages: BTreeMap<Stage, BTreeSet<String>> = root.table("stages", read).unwrap_or_default();
    if stages.is_empty() && root.has("stages") {
        root.problem("stages", "opens no stage to anybody", "for example `general = [\"public\"]`");
    }
    stages
}

fn upstream(table: &Reader<'_, '_>, folder: &Path) -> UpstreamConfig {
    let name = table.name("name");
    let api = table.choice_if("api").unwrap_or(Api::OpenAi);
    let (is_local, is_remote) = (table.has("local"), table.has("url"));
    if is_local && is_remote {
        table.problem("local", "stands beside `url`", "an upstream is a server or a model of this process");
    }
    if is_local && api != Api::OpenAi {
        table.problem("api", "a model of this process speaks `openai` only", "leave out `api`");
    }
    let way = match is_local && !is_remote {
        true => WayConfig::Resident(resident(table, folder)),
        false => WayConfig::Http(http(table)),
    };
    UpstreamConfig {
        name,
        way,
        api,
        first_byte: millis(table, "first_byte_ms", 120_000),
        idle: millis(table, "idle_ms", 120_000),
        total: millis(table, "total_ms", 1_800_000),
    }
}

fn resident(table: &Reader<'_, '_>, folder: &Path) -> ResidentConfig {
    let queue = table.count_if("queue", 0, 10_000).unwrap_or(8);
    ResidentConfig {
        model: table.text("local"),
        folder: folder.into(),
        args: table.texts("model_args"),
        queue: usize::try_from(queue).unwrap_or(usize::MAX),
        place: table.place("local"),
    }
}

fn http(table: &Reader<'_, '_>) -> HttpConfig {
    let (url, key_env) = (table.text("url"), table.has("key_env").then(|| variable(table, "key_env")));
    if !url.is_empty() {
        match Address::parse(&url) {
            Err(why) => table.problem("url", why, "for example `http://127.0.0.1:8000/v1`"),
            Ok(address) if key_env.is_some() && !address.is_private() => {
                let hint = "use `https://`, or leave out `key_env`";
                table.problem(
                    "url",
                    "a key would go over an unencrypted connection to another machine",
                    hint,
                );
            }
            Ok(_) => {}
        }
    }
    let kept = table.count_if("kept_connections", 0, 100_000).unwrap_or(256);
    HttpConfig {
        url,
        key_env,
        connect: millis(table, "connect_ms", 5_000),
        kept_connections: usize::try_from(kept).unwrap_or(usize::MAX),
        place: table.place("key_env"),
    }
}

fn model(table: &Reader<'_, '_>, folder: &Path, known: &[UpstreamConfig]) -> ModelConfig {
    let name = table.text("name");
    if name.len() > 200 || name.bytes().any(|b| !b.is_ascii_graphic()) {
        let message = format!("`{}` is not a model name", one_line(&name, 60));
        table.problem("name", message, "at most 200 visible ASCII characters without spaces");
    }
    let upstreams = match table.has("upstreams") {
        true => table.texts("upstreams"),
        false => vec![table.text("upstream")],
    };
    let mut apis = Vec::new();
    for upstream in upstreams.iter().filter(|name| !name.is_empty()) {
        match known.iter().find(|known| known.name == *upstream) {
            Some(known) => apis.push(known.api),
            None => {
                let key = if table.has("upstreams") { "upstreams" } else { "upstream" };
                let message = format!("no upstream is named `{}`", one_line(upstream, 60));
                table.problem(key, message, "name one that stands under `[[upstream]]`");
            }
        }
    }
    if apis.windows(2).any(|pair| pair[0] != pair[1]) {
        table.problem("upstreams", "speak different protocols", "all upstreams of a model speak one");
    }
    if upstreams.is_empty() {
        table.problem("upstreams", "names no upstream", "name at least one");
    }
    ModelConfig {
        upstream_model: table.text_if("upstream_model").unwrap_or_else(|| name.clone()),
        name,
        upstreams,
        license: file(table, "license", folder),
        manifest: table.has("manifest").then(|| file(table, "manifest", folder)),
        keep: table.choice_if("keep").unwrap_or(Keep::Digest),
    }
}

fn doubled<'n>(root: &Reader<'_, '_>, key: &str, names: impl Iterator<Item = &'n String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let message = format!("two are named `{}`", one_line(name, 60));
            root.problem(key, message, "give each its own name");
        }
    }
}
