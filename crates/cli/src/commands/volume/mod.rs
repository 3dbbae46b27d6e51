//! `restblk volume …`: all that is done to volumes. The everyday ones stand at the top level too.

mod adopt;
pub(crate) mod clone;
mod compress;
pub(crate) mod convert;
pub(crate) mod create;
pub(crate) mod delete;
mod durability;
pub(crate) mod extend;
mod flatten;
mod limit;
pub(crate) mod list;
mod rekey;
pub(crate) mod show;
mod shrink;

use crate::failure::Result;
use crate::session::Session;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Volume {
    Create(create::Create),
    Clone(clone::Clone),
    #[command(alias = "ls")]
    List(list::List),
    Show(show::Show),
    Extend(extend::Extend),
    Shrink(shrink::Shrink),
    Limit(limit::Limit),
    Durability(durability::SetDurability),
    Compress(compress::Compress),
    Rekey(rekey::Rekey),
    #[command(alias = "rm")]
    Delete(delete::Delete),
    Flatten(flatten::Flatten),
    Convert(convert::Convert),
    Adopt(adopt::Adopt),
}

impl Volume {
    pub(crate) async fn run(&self, session: &Session) -> Result {
        match self {
            Self::Create(create) => create.run(session).await,
            Self::Clone(clone) => clone.run(session).await,
            Self::List(list) => list.run(session).await,
            Self::Show(show) => show.run(session).await,
            Self::Extend(extend) => extend.run(session).await,
            Self::Shrink(shrink) => shrink.run(session).await,
            Self::Limit(limit) => limit.run(session).await,
            Self::Durability(durability) => durability.run(session).await,
            Self::Compress(compress) => compress.run(session).await,
            Self::Rekey(rekey) => rekey.run(session).await,
            Self::Delete(delete) => delete.run(session).await,
            Self::Flatten(flatten) => flatten.run(session).await,
            Self::Convert(convert) => convert.run(session).await,
            Self::Adopt(adopt) => adopt.run(session).await,
        }
    }
}
