//! QEMU's control protocol, as much of it as a power button needs: connect, greet, one command, its answer.
//!
//! Own lines instead of a crate with all of QEMU's schema: two commands are used, and a schema is tied to a version
//! while the program is whatever the host or the lock has.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use crate::error::{Doing, Error, Result, on};

/// QEMU answers from its main loop; longer than this means that it hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs one command on the monitor at `path`.
pub(super) async fn execute(path: &Path, command: &str, arguments: Value) -> Result<()> {
    match tokio::time::timeout(PATIENCE, converse(path, command, arguments)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Error::Other(format!("{} does not answer {command}", path.display()))),
    }
}

async fn converse(path: &Path, command: &str, arguments: Value) -> Result<()> {
    let stream = UnixStream::connect(path).await.doing(on("connecting to", path))?;
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    for (command, arguments) in [("qmp_capabilities", json!({})), (command, arguments)] {
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        writer.write_all(line.as_bytes()).await.doing(on("writing to", path))?;
        answer(&mut lines, path, command).await?;
    }
    Ok(())
}

/// Reads until the answer to a command; the greeting and events on the way are of no interest here.
async fn answer(lines: &mut Lines<BufReader<OwnedReadHalf>>, path: &Path, command: &str) -> Result<()> {
    loop {
        let Some(line) = lines.next_line().await.doing(on("reading from", path))? else {
            return Err(Error::Other(format!("{} closed before {command} was answered", path.display())));
        };
        let message: Value = serde_json::from_str(&line)
            .map_err(|source| Error::Json { doing: format!("reading from {}", path.display()), source })?;
        if message.get("return").is_some() {
            return Ok(());
        }
        if let Some(error) = message.get("error") {
            let text = error.get("desc").and_then(Value::as_str).unwrap_or("no description");
            return Err(Error::Other(format!("{command}: {text}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// A monitor that greets, says something nobody asked for, and answers as told.
    async fn monitor(listener: UnixListener, answer: &'static str) -> Vec<String> {
        let (stream, _) = listener.accept().await.unwrap();
        let (reader, mut writer) = stream.into_split();
        let mut lines = BufReader::new(reader).lines();
        writer.write_all(b"{\"QMP\": {}}\n{\"event\": \"RTC_CHANGE\"}\n").await.unwrap();
        let mut commands = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            let last = commands.len() == 1;
            commands.push(line);
            writer.write_all(if last { answer.as_bytes() } else { b"{\"return\": {}}\n" }).await.unwrap();
        }
        commands
    }

    #[tokio::test]
    async fn a_command_is_sent_after_the_greeting_and_its_error_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        let answer = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such key\"}}\n";
        let (result, commands) =
            tokio::join!(execute(&path, "send-key", json!({ "keys": [] })), monitor(listener, answer));
        assert_eq!(result.unwrap_err().to_string(), "send-key: no such key");
        assert!(commands[0].contains("qmp_capabilities"));
        assert!(commands[1].contains("send-key"));
    }
}
