//! Parquet, through its record reader: one row at a time, without the columns in memory.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use minijinja::Value;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;

use super::{Place, Row, Rows, open_file};
use crate::task::TaskError;

/// How many rows the file says it has.
pub fn count(path: &Path) -> Result<u64, TaskError> {
    let rows = reader(path)?.metadata().file_metadata().num_rows();
    u64::try_from(rows).map_err(|_| TaskError::new(format!("{}: says it has {rows} rows", path.display())))
}

fn reader(path: &Path) -> Result<SerializedFileReader<File>, TaskError> {
    let file = open_file(path)?.into_inner();
    SerializedFileReader::new(file).map_err(|e| broken(path, &e))
}

fn broken(path: &Path, error: &parquet::errors::ParquetError) -> TaskError {
    TaskError::new(format!("{}: {error}", path.display())).with_hint("is it a whole Parquet file?")
}

/// The rows.
pub fn rows(path: Arc<Path>) -> Result<Rows, TaskError> {
    let rows = RowIter::from_file_into(Box::new(reader(&path)?));
    Ok(Box::new(rows.zip(1..).map(move |(row, number)| {
        let row = row.map_err(|e| broken(&path, &e))?;
        Ok(Row { value: group(row), place: Place { path: path.clone(), unit: "row", number } })
    })))
}

fn group(row: parquet::record::Row) -> Value {
    Value::from_pairs(row.into_columns().into_iter().map(|(name, field)| (name, value(field))))
}

fn value(field: Field) -> Value {
    match field {
        Field::Null => Value::from(()),
        Field::Bool(b) => b.into(),
        Field::Byte(n) => n.into(),
        Field::Short(n) => n.into(),
        Field::Int(n) => n.into(),
        Field::Long(n) => n.into(),
        Field::UByte(n) => n.into(),
        Field::UShort(n) => n.into(),
        Field::UInt(n) => n.into(),
        Field::ULong(n) => n.into(),
        Field::Float16(n) => f32::from(n).into(),
        Field::Float(n) => n.into(),
        Field::Double(n) => n.into(),
        Field::Str(text) => text.into(),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.into(),
            Err(_) => Value::from_bytes(bytes.data().to_vec()),
        },
        Field::Date(days) => date(i64::from(days)).into(),
        Field::TimeMillis(millis) => time(i64::from(millis) * 1000).into(),
        Field::TimeMicros(micros) => time(micros).into(),
        Field::TimestampMillis(millis) => timestamp(millis.saturating_mul(1000)).into(),
        Field::TimestampMicros(micros) => timestamp(micros).into(),
        Field::Group(row) => group(row),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            Value::from_pairs(map.entries().iter().cloned().map(|(k, v)| (value(k), value(v))))
        }
        // A decimal prints as its digits.
        other => other.to_string().into(),
    }
}

const DAY_MICROS: i64 = 86_400_000_000;

/// `str(datetime.datetime)`.
fn timestamp(micros: i64) -> String {
    format!("{} {}", date(micros.div_euclid(DAY_MICROS)), time(micros.rem_euclid(DAY_MICROS)))
}

fn time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let whole = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match micros % 1_000_000 {
        0 => whole,
        rest => format!("{whole}.{rest:06}"),
    }
}

/// The date so many days after 1970-01-01, by the era method for the proleptic Gregorian calendar (years that begin
/// in March, 400-year eras of 146,097 days).
fn date(days: i64) -> String {
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::parser::parse_message_type;

    use super::super::{Dataset, Format};
    use super::*;

    /// Questions with a list of choices, in the three-level form that HF datasets write.
    fn write(path: &Path, compression: parquet::basic::Compression) {
        let schema = "message schema { optional binary question (UTF8); optional group choices (LIST) {
            repeated group list { optional binary element (UTF8); } } optional int64 answer; }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let text = |t: &str| ByteArray::from(t);
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<ByteArrayType>()
            .write_batch(&[text("q1"), text("שלום")], Some(&[1, 1]), None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<ByteArrayType>()
            .write_batch(&[text("a"), text("b"), text("c")], Some(&[3, 3, 3]), Some(&[0, 1, 0]))
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[1], Some(&[1, 0]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn lists_texts_and_gaps_are_read_with_each_compression() {
        use parquet::basic::{Compression, GzipLevel, ZstdLevel};
        let dir = tempfile::tempdir().unwrap();
        for compression in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::ZSTD(ZstdLevel::default()),
        ] {
            let path = dir.path().join("d.parquet");
            write(&path, compression);
            let data = Dataset::open(&[path], &Format::Parquet).unwrap();
            assert_eq!(data.len(), 2);
            let rows: Vec<String> = data.rows().map(|r| r.unwrap().value.to_string()).collect();
            assert_eq!(
                rows,
                [
                    "{'question': 'q1', 'choices': ['a', 'b'], 'answer': 1}",
                    "{'question': 'שלום', 'choices': ['c'], 'answer': None}"
                ]
            );
        }
    }

    #[test]
    fn a_file_cut_short_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.parquet");
        write(&path, parquet::basic::Compression::SNAPPY);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 3, 10, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = Dataset::open(std::slice::from_ref(&path), &Format::Parquet).unwrap_err();
            assert!(error.message.contains("d.parquet: ") && error.hint.is_some(), "{length}: {error}");
        }
    }

    #[test]
    fn dates_and_times_print_as_python_prints_them() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(-719_162), "0001-01-01");
        assert_eq!(timestamp(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(timestamp(1_700_000_000_000_000), "2023-11-14 22:13:20");
    }
}
