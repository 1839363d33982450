//! What a program writes, as far as it is recorded: the end of it, readable, and without secrets.

use std::ffi::OsString;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A variable whose value must not be recorded: its name and its value.
pub(crate) type Secret = (String, OsString);

/// Reads a stream to its end and returns the last `max` bytes as trimmed text: secrets masked, control characters dropped.
pub(crate) async fn tail(stream: Option<impl AsyncRead + Unpin>, max: usize, secrets: &[Secret]) -> std::io::Result<String> {
    let longest = secrets.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
    let (mut kept, mut cut, mut chunk) = (Vec::new(), false, [0; 8192]);
    let Some(mut stream) = stream else { return Ok(String::new()) };
    loop {
        let len = stream.read(&mut chunk).await?;
        if len == 0 {
            return Ok(readable(&kept, cut, longest, max, secrets));
        }
        kept.extend_from_slice(&chunk[..len]);
        let excess = kept.len().saturating_sub(max.saturating_add(longest));
        cut |= excess > 0;
        kept.drain(..excess);
    }
}

fn readable(kept: &[u8], cut: bool, longest: usize, max: usize, secrets: &[Secret]) -> String {
    let mut text = String::from_utf8_lossy(kept).into_owned();
    for (name, value) in secrets.iter().filter_map(|(name, value)| Some((name, value.to_str()?))) {
        if !value.trim().is_empty() {
            text = text.replace(value, &format!("[{name}]"));
        }
    }
    // The end of a secret whose beginning was cut off is not recognised: what could be one goes.
    let text: String = text.chars().skip(if cut { longest } else { 0 }).filter(|&c| c == '\n' || c == '\t' || !c.is_control()).collect();
    let mut start = text.len().saturating_sub(max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_an_output_is_kept_without_secrets() {
        let secrets = [("TOKEN".to_owned(), OsString::from("s3cr3t"))];
        assert_eq!(readable(b"using s3cr3t\x1b[1m now\n", false, 6, 100, &secrets), "using [TOKEN][1m now");
        assert_eq!(readable(b"cr3t and more", true, 6, 100, &secrets), "nd more");
        assert_eq!(readable("é".repeat(10).as_bytes(), false, 0, 5, &[]), "éé");
    }
}
