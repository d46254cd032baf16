//! One file from the Hugging Face hub: resumed where it broke off, checked, and only then put in its place.
//!
//! The hub's conventions (names, its cache folder, its token) come from the `hf-hub` crate; the bytes come through
//! this crate's own connections, so that proxies, certificates, time limits and masking are the same everywhere.

mod part;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::{Cache, Repo, RepoType};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LOCATION};
use hyper::{Method, Response, StatusCode, Uri};
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, ModelError, ModelErrorKind, Secret};

use self::part::Part;
use crate::base_url::BaseUrl;
use crate::options::{Environment, secret_value};
use crate::transport::{KeySource, Transport};

/// Where the hub is, unless `HF_ENDPOINT` says otherwise.
const HOME: &str = "https://huggingface.co";

/// Redirects that are followed for one request.
const REDIRECTS: usize = 5;

/// Failures in a row, without a byte gained, after which a download is given up.
const ATTEMPTS: u32 = 6;

/// Longest wait for the next bytes.
const STALL: Duration = Duration::from_secs(60);

/// A file on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// `ORGANISATION/NAME`
    pub repo: String,
    /// A branch, tag or commit; `main` is the newest.
    pub revision: String,
    /// The file's path in the repository.
    pub file: String,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are here, those of an earlier attempt included.
    pub done: u64,
    /// Bytes of the whole file, when the hub says.
    pub total: Option<u64>,
}

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its size in bytes.
    pub size: u64,
    /// The digest of what is on disk.
    pub digest: Digest,
    /// The commit that the hub took it from, when it says.
    pub commit: Option<String>,
    /// How many bytes were already here from an earlier attempt.
    pub resumed_from: u64,
}

/// Why a file could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A name that the hub does not allow.
    #[error("`{name}` is not {what} on the hub")]
    Name {
        /// The name.
        name: String,
        /// What it should have been.
        what: &'static str,
    },
    /// The hub, or the way to it.
    #[error("{0}")]
    Endpoint(#[from] ModelError),
    /// A file or folder here.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// Another process is fetching the same file.
    #[error("{}: another process is fetching this file", .0.display())]
    Busy(PathBuf),
    /// The content is not what was expected. It has been deleted.
    #[error("{file}: the digest is {actual}, but it should be {expected}; the download was deleted")]
    Digest {
        /// The file on the hub.
        file: String,
        /// What it should be.
        expected: String,
        /// What arrived.
        actual: Digest,
    },
}

impl HubError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Name { .. } => Some("for example repository `org/name`, file `model.gguf`".to_owned()),
            Self::Endpoint(error) => error.hint.clone(),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => Some(
                "make room on that disk and run the same command again: it goes on where it stopped"
                    .to_owned(),
            ),
            Self::Io { .. } => Some("check that the folder can be written to".to_owned()),
            Self::Busy(_) => Some("wait for it, then run the same command again".to_owned()),
            Self::Digest { .. } => Some(
                "run the same command again; if it happens twice, the file on the hub was replaced"
                    .to_owned(),
            ),
        }
    }
}

/// The hub, as the environment describes it.
pub struct Hub {
    endpoint: BaseUrl,
    token: Option<Secret>,
    cache: Option<Cache>,
    environment: Environment,
    pause: Duration,
}

/// What the hub says of a file.
struct Metadata {
    commit: Option<String>,
    etag: Option<String>,
    size: Option<u64>,
}

impl Hub {
    /// `HF_ENDPOINT`, `HF_TOKEN` (or the token file that the hub's own tools keep), `HF_HOME`. Makes no call.
    ///
    /// # Errors
    /// [`ModelErrorKind::Refused`] when `HF_ENDPOINT` is not a URL.
    pub fn open(environment: &Environment) -> Result<Self, ModelError> {
        let endpoint = BaseUrl::parse(environment.get("HF_ENDPOINT").unwrap_or(HOME))?;
        let home = environment.get("HF_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(Path::new(environment.get("HOME")?).join(".cache/huggingface")));
        let cache = home.map(|home| Cache::new(home.join("hub")));
        let token = match secret_value(environment, "HF_TOKEN")? {
            Some(token) => Some(token),
            None => cache.as_ref().and_then(Cache::token).filter(|token| token.is_ascii()).map(Secret::new),
        };
        Ok(Self { endpoint, token, cache, environment: environment.clone(), pause: Duration::from_secs(1) })
    }

    /// The same hub with another first pause between attempts; each further one is twice as long.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// The file in the cache of the hub's own tools, if it is there. It may be of an older commit.
    pub fn cached(&self, file: &HubFile) -> Option<PathBuf> {
        file.check().ok()?;
        let repo = Repo::with_revision(file.repo.clone(), RepoType::Model, file.revision.clone());
        self.cache.as_ref()?.repo(repo).get(&file.file)
    }

    /// Fetches a file to `to`, telling `progress` how far it is. What arrived before a failure stays beside `to` and
    /// is used the next time. The file appears at `to` only when it is whole, on disk, and has the `expected` digest
    /// and the one that the hub gives for large files.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn fetch(
        &self,
        file: &HubFile,
        to: &Path,
        expected: Option<&Digest>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Fetched, HubError> {
        file.check()?;
        let path = format!("/{}/resolve/{}/{}", file.repo, file.revision.replace('/', "%2F"), file.file);
        let url = self.endpoint.join(&path)?;
        let metadata = self.retrying(|| self.metadata(&url)).await?;
        let mut part = Part::open(to, metadata.etag.as_deref())?;
        let resumed_from = part.size;
        self.fill(&url, &mut part, metadata.size, progress).await?;
        let digest = part.digest()?;
        let promised =
            metadata.etag.filter(|etag| etag.len() == 64 && etag.bytes().all(|b| b.is_ascii_hexdigit()));
        for wanted in [expected.map(Digest::hex), promised].into_iter().flatten() {
            if !wanted.eq_ignore_ascii_case(&digest.hex()) {
                part.delete()?;
                let expected = format!("sha256:{wanted}");
                return Err(HubError::Digest {
                    file: format!("{}/{}", file.repo, file.file),
                    expected,
                    actual: digest,
                });
            }
        }
        let size = part.size;
        part.put(to)?;
        Ok(Fetched { size, digest, commit: metadata.commit, resumed_from })
    }

    /// Brings a part to its full size, however often the connection breaks on the way.
    async fn fill(
        &self,
        url: &Uri,
        part: &mut Part,
        total: Option<u64>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), HubError> {
        let mut failures = 0;
        loop {
            if total.is_some_and(|total| part.size > total) {
                part.restart()?;
            }
            progress(Progress { done: part.size, total });
            if total == Some(part.size) {
                return Ok(());
            }
            let before = part.size;
            let error = match self.pour(url, part, total, progress).await {
                Ok(()) if total.is_none_or(|total| total == part.size) => return Ok(()),
                Ok(()) => short(part.size, total),
                Err(HubError::Endpoint(error)) if error.is_retryable() => error,
                Err(error) => return Err(error),
            };
            failures = if part.size > before { 1 } else { failures + 1 };
            if failures >= ATTEMPTS {
                return Err(error.into());
            }
            self.wait(failures, &error).await;
        }
    }

    /// Appends one answer's bytes to a part.
    async fn pour(
        &self,
        url: &Uri,
        part: &mut Part,
        total: Option<u64>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), HubError> {
        let (transport, response) = self.follow(Method::GET, url, part.size).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(part.size) => {}
            StatusCode::OK => part.restart()?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                part.restart()?;
                let message = format!("{} does not go on where the download stopped", transport.base());
                return Err(ModelError::new(ModelErrorKind::Malformed, message).into());
            }
            _ => return Err(self.refused(&transport, response).await.into()),
        }
        let mut body = response.into_body();
        loop {
            let piece =
                tokio::time::timeout(STALL, transport.next_piece(&mut body)).await.map_err(|_| {
                    let message =
                        format!("{} sent nothing for {} seconds", transport.base(), STALL.as_secs());
                    ModelError::new(ModelErrorKind::Timeout, message)
                })??;
            let Some(piece) = piece else { return Ok(()) };
            part.append(&piece)?;
            progress(Progress { done: part.size, total });
        }
    }

    async fn metadata(&self, url: &Uri) -> Result<Metadata, ModelError> {
        let (transport, response) = self.follow(Method::HEAD, url, 0).await?;
        let status = response.status();
        if !status.is_success() && !status.is_redirection() {
            return Err(self.refused(&transport, response).await);
        }
        let headers = response.headers();
        let size = text(headers, "x-linked-size")
            .or(text(headers, CONTENT_LENGTH.as_str()).filter(|_| status.is_success()));
        let etag = text(headers, "x-linked-etag").or(text(headers, ETAG.as_str()));
        Ok(Metadata {
            commit: text(headers, "x-repo-commit").map(|commit| one_line(commit, 64)),
            etag: etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned()),
            size: size.and_then(|size| size.parse().ok()),
        })
    }

    /// Sends a request and follows redirects: for `HEAD` only within the hub, since only the hub says what the file
    /// is. The token goes to the hub alone, and nothing goes from https to http.
    async fn follow(
        &self,
        method: Method,
        url: &Uri,
        from: u64,
    ) -> Result<(Transport, Response<Incoming>), ModelError> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let base = BaseUrl::of(&url)?;
            let at_home =
                base.authority() == self.endpoint.authority() && base.is_https() == self.endpoint.is_https();
            let token = self.token.clone().filter(|_| at_home);
            let headers =
                token.map(|token| (AUTHORIZATION, "Bearer ".to_owned(), token)).into_iter().collect();
            let source = KeySource { variable: "HF_TOKEN".to_owned(), sent: self.token.is_some() };
            let transport = Transport::new(base.clone(), &self.environment, headers, source)?;
            let response = transport.file(method.clone(), &url, from).await?;
            let Some(to) = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())
            else {
                return Ok((transport, response));
            };
            let to = String::from_utf8_lossy(to.as_bytes()).into_owned();
            let next = if to.starts_with('/') {
                base.join(&to)
            } else {
                to.parse().map_err(|_| bad_redirect(&base, &to))
            };
            let next: Uri = next.map_err(|_| bad_redirect(&base, &to))?;
            let next_base = BaseUrl::of(&next).map_err(|_| bad_redirect(&base, &to))?;
            if base.is_https() && !next_base.is_https() {
                return Err(bad_redirect(&base, &to));
            }
            if method == Method::HEAD && next_base != base {
                return Ok((transport, response));
            }
            url = next;
        }
        Err(ModelError::new(ModelErrorKind::Refused, format!("{} redirects without end", self.endpoint)))
    }

    async fn refused(&self, transport: &Transport, response: Response<Incoming>) -> ModelError {
        let missing = response
            .headers()
            .get("x-error-code")
            .map(|code| one_line(&String::from_utf8_lossy(code.as_bytes()), 60));
        let mut error = transport.refusal(response).await;
        if let Some(code) = missing {
            error.message = format!("{} ({code})", error.message);
        }
        let hint = match error.kind {
            ModelErrorKind::NotFound => "check the names of repository, revision and file",
            ModelErrorKind::Unauthorized if self.token.is_some() => {
                "the token may lack access: accept the model's terms on the hub, or check HF_TOKEN"
            }
            ModelErrorKind::Unauthorized => "a gated or private model needs a token: set HF_TOKEN",
            _ => return error,
        };
        error.with_hint(hint)
    }

    /// Makes attempts until one succeeds or fails for good.
    async fn retrying<T, F: Future<Output = Result<T, ModelError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, ModelError> {
        let mut failures = 0;
        loop {
            match attempt().await {
                Err(error) if error.is_retryable() && failures + 1 < ATTEMPTS => {
                    failures += 1;
                    self.wait(failures, &error).await;
                }
                result => return result,
            }
        }
    }

    async fn wait(&self, failures: u32, error: &ModelError) {
        let pause = self.pause * 2_u32.saturating_pow(failures.saturating_sub(1));
        tokio::time::sleep(error.retry_after.unwrap_or(pause).min(STALL)).await;
    }
}

impl HubFile {
    fn check(&self) -> Result<(), HubError> {
        let safe = |text: &str| {
            text.split('/').all(|segment| {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
                !segment.is_empty()
                    && !segment.starts_with("..")
                    && segment != "."
                    && segment.bytes().all(fits)
            })
        };
        let bad = |name: &str, what| Err(HubError::Name { name: one_line(name, 80), what });
        if !safe(&self.repo) || self.repo.split('/').count() > 2 {
            return bad(&self.repo, "a repository");
        }
        if !safe(&self.revision) {
            return bad(&self.revision, "a revision");
        }
        if !safe(&self.file) { bad(&self.file, "a file") } else { Ok(()) }
    }
}

fn short(size: u64, total: Option<u64>) -> ModelError {
    let total = total.map_or_else(String::new, |total| format!(" of {total}"));
    ModelError::new(ModelErrorKind::Malformed, format!("the download ended after {size}{total} bytes"))
}

fn bad_redirect(base: &BaseUrl, to: &str) -> ModelError {
    let to = one_line(to, 120);
    ModelError::new(ModelErrorKind::Refused, format!("{base} redirects to `{to}`, which is not followed"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The first byte of `bytes FIRST-LAST/TOTAL`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
