//! Going on although the log has what nobody explains: only by an explicit yes.

use clap::Args;

use crate::context::{Context, Session};
use crate::output::Stop;

/// What aims at devices, while leaves of the log cannot be explained.
#[derive(Clone, Debug, Default, Args)]
pub struct Despite {
    /// Go on although the log has enrollments or joins that nobody explains. They may have moved or retired these devices, and
    /// --yes does not say yes to that.
    #[arg(long)]
    despite_unexplained_leaves: bool,
}

impl Despite {
    /// Asks, where there is something to ask.
    ///
    /// # Errors
    /// An alarm where nobody can be asked; a refusal where the answer is no.
    pub fn ask(&self, context: &Context, session: &Session) -> anyhow::Result<()> {
        let unexplained = &session.checked.devices.unexplained;
        if unexplained.is_empty() || self.despite_unexplained_leaves {
            return Ok(());
        }
        match context.ui.ask(&unexplained.question())? {
            Some(true) => Ok(()),
            Some(false) => Err(Stop::Refused("nothing was signed".to_owned()).into()),
            None => {
                let what = unexplained.alarm().unwrap_or_default();
                let how = "Look at `countersign log verify`; to go on all the same, say --despite-unexplained-leaves";
                Err(Stop::Alarm(format!("{what}. {how}")).into())
            }
        }
    }
}
