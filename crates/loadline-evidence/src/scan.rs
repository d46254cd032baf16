//! Reading a log frame by frame, and telling a torn tail from damage.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use loadline_core::digest::hex;
use loadline_tlog::Hash;

use crate::disk::{Disk, ReadFile};
use crate::error::{Damage, RecordError};
use crate::frame::{
    Begin, Checkpoint, FIRST_LINE, HEADER_LEN, Header, Kind, MAX_PAYLOAD_LEN, SEGMENT_FIRST_LINE, unhex,
};

const BUFFER_LEN: usize = 64 << 10;

/// What a file of frames is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The log of a record. In a sealed one everything was durable, so nothing is a torn tail; and only there a row
    /// may be withheld.
    Record { sealed: bool },
    /// A segment of a log that never ends. When another follows it, everything in it was durable.
    Segment { closed: bool },
}

impl Form {
    fn first_line(self) -> &'static [u8] {
        match self {
            Self::Record { .. } => FIRST_LINE,
            Self::Segment { .. } => SEGMENT_FIRST_LINE,
        }
    }

    fn all_durable(self) -> bool {
        matches!(self, Self::Record { sealed: true } | Self::Segment { closed: true })
    }

    fn allows(self, body: &Body) -> Result<(), &'static str> {
        match (body, self) {
            (Body::Withheld(_), Self::Record { sealed: false }) => {
                Err("a withheld row stands in a record that is not sealed")
            }
            (Body::Withheld(_), Self::Segment { .. }) => Err("a withheld row stands in a log"),
            _ => Ok(()),
        }
    }
}

/// Reads the frames of a log in order. Memory is one payload and one buffer.
pub(crate) struct Scanner<R = Box<dyn ReadFile>> {
    input: BufReader<R>,
    path: PathBuf,
    form: Form,
    /// The file's length when it was opened: a writer may be adding to it.
    length: u64,
    /// Where the next frame begins.
    offset: u64,
    /// Rows read, which is the number of the next one.
    rows: u64,
    /// The largest payload that is read, in bytes.
    most: usize,
    /// The most rows that are read.
    pub(crate) most_rows: u64,
    payload: Vec<u8>,
}

/// A whole frame that checks.
pub(crate) enum Frame {
    /// A row; [`Scanner::payload`] has its payload.
    Row { number: u64, offset: u64, leaf: Hash },
    /// The place of a row whose payload was left out.
    Withheld { number: u64, offset: u64, leaf: Hash },
    /// A checkpoint.
    Checkpoint { offset: u64, checkpoint: Checkpoint },
    /// What a segment begins with.
    Begin { offset: u64, begin: Begin },
    /// The end of the file, right after a whole frame.
    End,
}

/// A frame's payload, checked.
enum Body {
    Row(Hash),
    Withheld(Hash),
    Checkpoint(Checkpoint),
    Begin(Begin),
}

/// What is at the end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Whole frames up to the end.
    Whole,
    /// This many bytes that are no whole frame, after everything that was known to be durable.
    Torn { bytes: u64 },
}

impl Scanner {
    /// Opens a log and reads its first line.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, form: Form) -> Result<Self, RecordError> {
        let (file, length) = disk.read(path).map_err(RecordError::io("open", path))?;
        Self::of(file, length, path, form, MAX_PAYLOAD_LEN)
    }
}

impl<R: Read + Seek> Scanner<R> {
    /// Begins with a log of this length and reads its first line. `path` names it in messages.
    pub(crate) fn of(
        input: R,
        length: u64,
        path: &Path,
        form: Form,
        most: usize,
    ) -> Result<Self, RecordError> {
        let mut scanner = Self {
            input: BufReader::with_capacity(BUFFER_LEN, input),
            path: path.to_path_buf(),
            form,
            length,
            offset: 0,
            rows: 0,
            most,
            most_rows: u64::MAX,
            payload: Vec::new(),
        };
        let line = form.first_line();
        let first = scanner.fill(line.len() as u64)?;
        if !first || scanner.payload != line {
            return Err(scanner.first_line_error());
        }
        scanner.offset = line.len() as u64;
        Ok(scanner)
    }

    fn first_line_error(&self) -> RecordError {
        let line = self.form.first_line();
        let magic = line.strip_suffix(b"1\n").unwrap_or(line);
        let version = self.payload.strip_prefix(magic).and_then(|rest| rest.strip_suffix(b"\n"));
        match version.and_then(|text| std::str::from_utf8(text).ok()?.parse::<u32>().ok()) {
            Some(found) if found > 1 => {
                RecordError::Version { path: self.path.clone(), found: found.to_string(), known: 1 }
            }
            _ => {
                let what = match self.form {
                    Form::Record { .. } => {
                        "the first line is not `loadline-record 1`, with which a record begins"
                    }
                    Form::Segment { .. } => "the first line is not `loadline-log 1`, with which a log begins",
                };
                let what = what.to_owned();
                Damage { file: self.path.clone(), offset: Some(0), row: None, what }.into()
            }
        }
    }

    /// Where the next frame begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many rows were read.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The payload of the row just read.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Damage in a frame.
    pub(crate) fn damage(&self, offset: u64, row: u64, what: impl Into<String>) -> Damage {
        Damage { file: self.path.clone(), offset: Some(offset), row: Some(row), what: what.into() }
    }

    /// Reads this many bytes to `payload`; false when the file ends before. It grows only as bytes arrive, so a
    /// false length costs nothing.
    fn fill(&mut self, length: u64) -> Result<bool, RecordError> {
        self.payload.clear();
        let read = self.input.by_ref().take(length).read_to_end(&mut self.payload);
        Ok(read.map_err(RecordError::io("read", &self.path))? as u64 == length)
    }

    /// The next frame. The inner error says why no whole frame begins at [`Scanner::offset`]; what it means is
    /// for [`Scanner::tail`] to say.
    pub(crate) fn next(&mut self) -> Result<Result<Frame, Damage>, RecordError> {
        if self.offset >= self.length {
            return Ok(Ok(Frame::End));
        }
        let offset = self.offset;
        let (length, body) = match self.read_frame()? {
            Ok((_, Body::Begin(_))) if matches!(self.form, Form::Record { .. }) => {
                return Ok(Err(self.damage(offset, self.rows, "no frame begins here")));
            }
            Ok(read) => read,
            Err(what) => return Ok(Err(self.damage(offset, self.rows, what))),
        };
        if let Err(what) = self.form.allows(&body) {
            return Err(self.damage(offset, self.rows, what).into());
        }
        if self.rows >= self.most_rows && !matches!(body, Body::Checkpoint(_)) {
            let what = format!("there are more rows than the {} that are read here", self.most_rows);
            return Err(self.damage(offset, self.rows, what).into());
        }
        self.offset += length;
        let number = self.rows;
        self.rows += u64::from(matches!(body, Body::Row(_) | Body::Withheld(_)));
        Ok(Ok(match body {
            Body::Row(leaf) => Frame::Row { number, offset, leaf },
            Body::Withheld(leaf) => Frame::Withheld { number, offset, leaf },
            Body::Checkpoint(checkpoint) => Frame::Checkpoint { offset, checkpoint },
            Body::Begin(begin) => {
                self.rows = begin.first;
                Frame::Begin { offset, begin }
            }
        }))
    }

    /// Reads the frame at `offset` and gives its length, or says why none is there.
    fn read_frame(&mut self) -> Result<Result<(u64, Body), String>, RecordError> {
        if self.offset + (HEADER_LEN as u64) > self.length || !self.fill(HEADER_LEN as u64)? {
            return Ok(Err("the file ends inside a frame's header".to_owned()));
        }
        let head = self.payload.first_chunk().ok_or("the frame has no header");
        let header = match head.and_then(Header::parse) {
            Ok(header) => header,
            Err(what) => return Ok(Err(what.to_owned())),
        };
        if header.length > self.most {
            return Ok(Err(format!(
                "the row has {} bytes; at most {} are read here",
                header.length, self.most
            )));
        }
        let length = (HEADER_LEN + header.length + 1) as u64;
        if self.offset + length > self.length || !self.fill(header.length as u64 + 1)? {
            return Ok(Err("the file ends inside a frame".to_owned()));
        }
        Ok(self.check_payload(&header).map(|body| (length, body)))
    }

    /// Checks the frame whose payload and end of line were just read.
    fn check_payload(&mut self, header: &Header) -> Result<Body, String> {
        if self.payload.pop() != Some(b'\n') {
            return Err("the frame does not end where its length says".to_owned());
        }
        let hash = header.kind.hash(&self.payload);
        if hash[..8] != header.check {
            let (check, found) = (hex(&header.check), hex(&hash[..8]));
            return Err(format!("the frame's check is {check}, but its payload's is {found}"));
        }
        let body = match header.kind {
            Kind::Row => Some(Body::Row(hash)),
            Kind::Withheld => unhex(&self.payload).map(Body::Withheld),
            Kind::Checkpoint => Checkpoint::parse(&self.payload).map(Body::Checkpoint),
            Kind::Begin => Begin::parse(&self.payload).map(Body::Begin),
        };
        body.ok_or_else(|| "the frame's payload is not of its kind's form".to_owned())
    }

    /// Decides what a frame that does not check means. A later checkpoint that counts the row there proves that it
    /// was durable once: damage. Otherwise it and what follows was never known to be durable: a torn tail.
    pub(crate) fn tail(&mut self, fault: Damage) -> Result<Tail, RecordError> {
        let rows = self.rows;
        if self.form.all_durable() {
            return Err(fault.into());
        }
        match self.largest_checkpoint_after(self.offset)? {
            Some((size, at)) if size > rows => {
                let what = format!(
                    "{}; the checkpoint at byte {at} says that {size} rows were safely on disk",
                    fault.what
                );
                Err(Damage { what, ..fault }.into())
            }
            _ => Ok(Tail::Torn { bytes: self.length - self.offset }),
        }
    }

    /// Looks at every byte after `offset` for a whole checkpoint frame (a row's payload cannot hold one: its
    /// quotation marks would be escaped, or the frame's header would stand inside a JSON value). Gives the largest
    /// size and where it is.
    fn largest_checkpoint_after(&mut self, offset: u64) -> Result<Option<(u64, u64)>, RecordError> {
        // The longest checkpoint: 28 of header, 20 digits, 71 of digest, names, line feed.
        const LONGEST: usize = 160;
        let path = self.path.clone();
        self.input.seek(SeekFrom::Start(offset)).map_err(RecordError::io("read", &path))?;
        let mut window: Vec<u8> = Vec::with_capacity(BUFFER_LEN + LONGEST);
        let mut window_offset = offset;
        let mut largest: Option<(u64, u64)> = None;
        // What a writer has added since is no part of what is being read.
        let mut left = self.length.saturating_sub(offset);
        loop {
            let take = self.input.by_ref().take(left.min(BUFFER_LEN as u64)).read_to_end(&mut window);
            let taken = take.map_err(RecordError::io("read", &path))?;
            left -= taken as u64;
            let last = taken < BUFFER_LEN;
            let stop = if last { window.len() } else { window.len() - LONGEST.min(window.len()) };
            for start in (0..stop).filter(|&start| window[start] == b'C') {
                if let Some(checkpoint) = checkpoint_at(&window[start..]) {
                    let at = window_offset + start as u64;
                    largest = largest.max(Some((checkpoint.size, at)));
                }
            }
            if last {
                return Ok(largest);
            }
            window.drain(..stop);
            window_offset += stop as u64;
        }
    }
}

/// The checkpoint whose frame begins these bytes.
fn checkpoint_at(bytes: &[u8]) -> Option<Checkpoint> {
    let (head, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let header = Header::parse(head).ok()?;
    let payload = rest.get(..header.length)?;
    let checks = header.kind == Kind::Checkpoint && Kind::Checkpoint.hash(payload)[..8] == header.check;
    if checks { Checkpoint::parse(payload) } else { None }
}
