//! Answers of others, read as far as they may be long.

use reqwest::Response;

/// Reads the body of an answer; none if it is longer.
pub(crate) async fn read_at_most(
    mut answer: Response,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}
