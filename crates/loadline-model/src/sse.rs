//! Server-sent events (WHATWG HTML, section 9.2), read from pieces of any size.

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its `event` field; empty when it has none.
    pub(crate) name: String,
    /// Its `data` lines, joined by line feeds.
    pub(crate) data: String,
}

/// Collects bytes until they are events. A line ends with CR LF, LF or CR; an event ends with an empty line.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    /// The line before ended with CR, so an LF that follows belongs to it.
    after_cr: bool,
    /// Past the first line: only there may a byte order mark stand.
    started: bool,
}

impl Parser {
    /// Takes the next bytes and gives the events that they complete to `each`. An event at the end of the stream
    /// without its empty line is never given: it may be cut short.
    pub(crate) fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.line.extend_from_slice(rest);
                break;
            };
            self.line.extend_from_slice(&rest[..end]);
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if let Some(event) = self.end_line() {
                each(event)?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if !self.started => rest,
            _ => &line,
        };
        self.started = true;
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => value.clone_into(&mut self.event.name),
            // A comment (no field name), `id`, `retry` and what else may come say nothing here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for piece in pieces {
            let fed: Result<(), Infallible> = parser.feed(piece, |event| {
                events.push((event.name, event.data));
                Ok(())
            });
            fed.unwrap();
        }
        events
    }

    fn pair(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn reads_what_the_standard_allows() {
        let whole = |text: &str| events([text.as_bytes()]);
        assert_eq!(whole("data: a\n\ndata:b\n\n"), [pair("", "a"), pair("", "b")]);
        assert_eq!(
            whole("data: a\r\n\r\ndata: b\r\rdata: c\n\n"),
            [pair("", "a"), pair("", "b"), pair("", "c")]
        );
        assert_eq!(whole("event: x\ndata: a\ndata: b\ndata\n\n"), [pair("x", "a\nb\n")]);
        assert_eq!(
            whole(": comment\n\n:\nid: 7\nretry: 9\nunknown: z\n\ndata:  two spaces\n\n"),
            [pair("", " two spaces")]
        );
        assert_eq!(whole("\u{feff}data: after a mark\n\n"), [pair("", "after a mark")]);
        assert_eq!(whole("event: no data, no event\n\ndata: a\n\n"), [pair("", "a")]);
        assert_eq!(whole("data: whole\n\ndata: cut short\n"), [pair("", "whole")]);
        assert_eq!(events([&b"data: \xff\n\n"[..]]), [pair("", "\u{fffd}")]);
    }

    proptest! {
        /// Any chunking gives the same events.
        #[test]
        fn pieces_do_not_matter(
            lines in proptest::collection::vec(("(data|event|id|x|)", "(:|: |)", "[a-z:שלום ]{0,6}", "(\r\n|\n|\r)"), 0..40),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        ) {
            let text: String = lines.iter().map(|(field, colon, value, end)| format!("{field}{colon}{value}{end}")).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
            prop_assert_eq!(events(pieces), events([bytes]));
        }

        /// Nothing that arrives makes it fail.
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            events([&bytes[..]]);
        }
    }
}
