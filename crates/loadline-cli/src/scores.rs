//! Files of per-sample scores.

/// Names of the columns.
#[derive(clap::Args, Clone, Debug)]
pub struct Columns {
    /// Column of the sample's id
    #[arg(long, value_name = "COLUMN", default_value = "id", help_heading = "Columns")]
    pub id: String,
    /// Column of the score
    #[arg(long, value_name = "COLUMN", default_value = "score", help_heading = "Columns")]
    pub score: String,
    /// Column of the cluster, where the file has one
    #[arg(long, value_name = "COLUMN", default_value = "cluster", help_heading = "Columns")]
    pub cluster: String,
}

/// A number between 0 and 1, both excluded.
pub fn open_unit(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err("expected a number between 0 and 1".to_owned()),
    }
}
