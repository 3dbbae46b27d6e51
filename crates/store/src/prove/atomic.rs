//! Whether a put replaces an object at once: readers beside a writer see the old or the new, never a mixture, a stump or nothing.
//! What a crash of the server leaves cannot be tried.

use super::{Fail, Scratch, Step, always, not};
use bytes::Bytes;
use restblk_types::ErrorKind;

const PUTS: usize = 8;
const READERS: usize = 3;

impl Scratch<'_> {
    pub(super) async fn atomic_put(&self) -> Step {
        let key = &self.key()?;
        // Large enough to be written in several steps, and of two lengths.
        let bodies = &[
            Bytes::from(vec![b'a'; 192 << 10]),
            Bytes::from(vec![b'b'; 128 << 10]),
        ];
        self.store.put(key, bodies[0].clone(), always()).await?;
        let write = async {
            for number in 1..=PUTS {
                self.store.put(key, bodies[number % 2].clone(), always()).await?;
            }
            Ok::<(), Fail>(())
        };
        let read = async |_| {
            for _ in 0..PUTS {
                match self.store.get(key, None).await {
                    Ok(found) => {
                        let found = found.payload.into_bytes();
                        if !bodies.contains(&found) {
                            return not(format!(
                                "a reader beside a put saw {} bytes that were neither the old nor the new",
                                found.len()
                            ));
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt) => {
                        return not(format!("a reader beside a put failed to {error}"));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        };
        let readers = futures_util::future::join_all((0..READERS).map(read));
        let (written, seen) = futures_util::future::join(write, readers).await;
        written?;
        seen.into_iter().collect()
    }
}
