//! Answering every request with one status, as a server that is overloaded does.

use std::io;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Answers until the client closes.
pub(crate) async fn answer(client: TcpStream, code: u16, retry_after_s: Option<u64>) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let asked = retry_after_s.map_or_else(String::new, |seconds| format!("Retry-After: {seconds}\r\n"));
    let answer = format!("HTTP/1.1 {code} Refused\r\nContent-Length: 0\r\n{asked}\r\n");
    while let Some(body_len) = head(&mut client).await? {
        let read = tokio::io::copy(&mut (&mut client).take(body_len), &mut tokio::io::sink()).await?;
        if read < body_len {
            return Ok(());
        }
        client.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// Reads a request's head; the length of its body, or `None` at the end.
async fn head(client: &mut BufReader<TcpStream>) -> io::Result<Option<u64>> {
    let (mut body_len, mut line) = (0, String::new());
    loop {
        line.clear();
        if client.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let text = line.trim_end();
        if text.is_empty() {
            return Ok(Some(body_len));
        }
        if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            body_len = value.trim().parse().map_err(io::Error::other)?;
        }
    }
}
