//! A sign of life on a terminal while a call takes long: what is done, and for how long already.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// Calls that are answered sooner show nothing: a flicker tells nobody anything.
const PATIENCE: Duration = Duration::from_millis(300);

/// How often it is asked how far a call has come.
const NEWS_EVERY: Duration = Duration::from_millis(500);

/// Waits for `call`. `what` completes "failed to …".
pub(crate) async fn wait<T>(shown: bool, what: &str, call: impl Future<Output = T>) -> T {
    follow(shown, what, call, async || None).await
}

/// The same, with news of how far it has come.
pub(crate) async fn follow<T>(
    shown: bool,
    what: &str,
    call: impl Future<Output = T>,
    mut news: impl AsyncFnMut() -> Option<String>,
) -> T {
    tokio::pin!(call);
    if !shown {
        return call.await;
    }
    if let Ok(done) = tokio::time::timeout(PATIENCE, &mut call).await {
        return done;
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_elapsed(PATIENCE);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} … {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    let done = loop {
        tokio::select! {
            biased;
            done = &mut call => break done,
            () = tokio::time::sleep(NEWS_EVERY) => {}
        }
        tokio::select! {
            biased;
            done = &mut call => break done,
            news = news() => {
                if let Some(news) = news {
                    bar.set_message(format!("{what}: {news}"));
                }
            }
        }
    };
    bar.finish_and_clear();
    done
}
