//! The verbs of the three procedures.

pub mod begin;
pub mod follow;
mod gate;
pub mod history;
pub mod plan;
mod progress;
pub mod say;
pub mod show;

use clap::Subcommand;

use super::Exit;
use super::client::{Called, ControlArgs};
use super::mode::header_text;
use say::{Confirmation, NodeArgs, RollbackArgs, SayArgs, Spoken, WaiveArgs};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say what a procedure would do, and what speaks against it today. Changes nothing.
    ///
    /// Shows each phase with what it does, what it must prove and its time limit; what is true before;
    /// and every objection. Ends with 3 where there is an objection: the procedure would not begin.
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(Called<plan::PlanArgs>),
    /// Begin a procedure: upgrade, maintenance or first-start.
    ///
    /// The gateway walks through its phases, runs your commands where the configuration has them, says
    /// what to do by hand where not, and moves on only with proof. One runs at a time. It goes on
    /// whether or not anybody watches, and survives a restart of the gateway. Look at `plan` first.
    ///
    /// With --follow it ends with 0 where the procedure came to the end that its road led to, 3 where it
    /// ended otherwise, 5 where you left with ctrl-C: leaving, or closing the terminal, cancels nothing.
    #[command(after_help = BEGIN_EXAMPLES)]
    Begin(Called<begin::BeginArgs>),
    /// Follow the procedure that runs, to its end; on a terminal, ask where it waits for a word.
    ///
    /// A line for each thing that is new, and at each gate what may be said. Ctrl-C leaves, ends with 5
    /// and cancels nothing. Without a terminal it never asks. Ends as `begin --follow` does.
    #[command(after_help = "Examples:\n  drawspan follow\n  drawspan follow --json")]
    Follow(Called<follow::FollowArgs>),
    /// Go on to the next phase; or resume what is held after a pause or a restart of the gateway.
    ///
    /// Allowed where the proof of the phase is complete, or where you have done your part by hand. In
    /// verify the word is `confirm`.
    #[command(after_help = CONTINUE_EXAMPLES)]
    Continue(Called<SayArgs>),
    /// Say that you have verified the new state; the other nodes start next.
    ///
    /// Allowed in the phase verify only, while nothing objects. Look at the first node at its own address
    /// before: after lowering there is no rollback.
    #[command(after_help = "Examples:\n  drawspan confirm --why 'orders and login work'")]
    Confirm(Called<SayArgs>),
    /// Run again what failed in this phase.
    ///
    /// Allowed where the phase has a command and none runs now. What succeeded is not run again.
    #[command(after_help = "Examples:\n  drawspan retry --follow")]
    Retry(Called<SayArgs>),
    /// Go back: restore the backup, put the old version back, start everything on it.
    ///
    /// Allowed in an upgrade from update on, up to the moment before lowering, with a proven backup. What
    /// was written since the backup is lost; after lowering never. On a terminal it asks first.
    #[command(
        after_help = "Examples:\n  drawspan rollback --why 'login fails'\n  drawspan rollback --yes"
    )]
    Rollback(Called<RollbackArgs>),
    /// Give up before anything was changed: start the nodes as they were, and lower.
    ///
    /// Allowed before update (upgrade), or before work was done (maintenance). Where it is not, it says
    /// why, and what the way back is.
    #[command(after_help = "Examples:\n  drawspan abort --why 'the window is over'")]
    Abort(Called<SayArgs>),
    /// Go over one objection, with a reason. It is recorded.
    ///
    /// Allowed only for objections that the status shows as ones that may be waived.
    #[command(after_help = "Examples:\n  drawspan waive not_down:n2 --why 'I pulled its plug'")]
    Waive(Called<WaiveArgs>),
    /// Go on without a node, with a reason.
    ///
    /// Allowed when the others start. The node stays out of every table, over restarts too, until
    /// `include`. The last ready node cannot be left out. Stop it: it may run an old state.
    #[command(after_help = "Examples:\n  drawspan exclude n3 --why 'its disk is broken'")]
    Exclude(Called<NodeArgs>),
    /// Take a node back that was left out, in a procedure or outside of one.
    ///
    /// It must be proven restarted, and on the same build as the others.
    #[command(after_help = "Examples:\n  drawspan include n3 --why 'new disk'")]
    Include(Called<NodeArgs>),
    /// Start another node first, where the first one does not come up (upgrade, first-start).
    ///
    /// Allowed while the first one starts or is verified. The one before it is stopped.
    #[command(after_help = "Examples:\n  drawspan change-first n2 --why 'n1 does not boot'")]
    ChangeFirst(Called<NodeArgs>),
    /// Keep another node, where the kept one dies (maintenance).
    ///
    /// Allowed before the others start. The new one is restarted first where needed, so that it has the work that was done.
    #[command(after_help = "Examples:\n  drawspan change-keep n2 --why 'n1 died'")]
    ChangeKeep(Called<NodeArgs>),
    /// Stop nodes that came back before their turn.
    ///
    /// Allowed where the status shows `came_back`. During the backup the backup is made anew.
    #[command(after_help = "Examples:\n  drawspan stop-again")]
    StopAgain(Called<SayArgs>),
    /// Take a command for done that ran when the gateway died, and left no word.
    ///
    /// Allowed where the status shows `command_unknown`. Look first: nothing else proves it. A restore
    /// cannot be adopted; `retry` restores again from the start.
    #[command(after_help = "Examples:\n  drawspan adopt --why 'the dump is complete, I looked'")]
    Adopt(Called<SayArgs>),
    /// The last switches and procedures; with an ID everything that happened in one procedure.
    #[command(after_help = "Examples:\n  drawspan history\n  drawspan history 12")]
    History(Called<history::HistoryArgs>),
}

const PLAN_EXAMPLES: &str = "\
Examples:
  drawspan plan upgrade --to 1.9.0
  drawspan plan maintenance --keep n1";

const BEGIN_EXAMPLES: &str = "\
Examples:
  drawspan begin upgrade --to 1.9.0 --why 'ticket 4711' --follow
  drawspan begin maintenance --keep n1 --follow
  drawspan begin first-start --first n1 --auto";

const CONTINUE_EXAMPLES: &str = "\
Examples:
  drawspan continue
  drawspan continue --phase back-up --revision 14   (only if it still stands there)";

impl Verb {
    pub(super) fn run(
        self,
        control: impl FnOnce(Option<std::path::PathBuf>) -> ControlArgs,
    ) -> Exit {
        let plain = |verb: &str| (Spoken::new(verb, None), Confirmation::Given);
        let about =
            |verb: &str, target: &str| (Spoken::new(verb, Some(target)), Confirmation::Given);
        let (spoken, args, nearer) = match self {
            Self::Plan(verb) => return plan::run(&verb.args, &control(verb.control)),
            Self::Begin(verb) => return begin::run(&verb.args, &control(verb.control)),
            Self::Follow(verb) => return follow::run(&verb.args, &control(verb.control)),
            Self::History(verb) => return history::run(&verb.args, &control(verb.control)),
            Self::Continue(verb) => (plain("continue"), verb.args, verb.control),
            Self::Confirm(verb) => (plain("confirm"), verb.args, verb.control),
            Self::Retry(verb) => (plain("retry"), verb.args, verb.control),
            Self::Abort(verb) => (plain("abort"), verb.args, verb.control),
            Self::StopAgain(verb) => (plain("stop-again"), verb.args, verb.control),
            Self::Adopt(verb) => (plain("adopt"), verb.args, verb.control),
            Self::Rollback(verb) => {
                let confirmation = verb.args.confirmation();
                ((Spoken::new("rollback", None), confirmation), verb.args.say, verb.control)
            }
            Self::Waive(verb) => {
                (about("waive", &verb.args.objection), verb.args.say, verb.control)
            }
            Self::Exclude(verb) => of_node("exclude", verb),
            Self::Include(verb) => of_node("include", verb),
            Self::ChangeFirst(verb) => of_node("change-first", verb),
            Self::ChangeKeep(verb) => of_node("change-keep", verb),
        };
        say::run(spoken, &args, &control(nearer))
    }
}

type Word = ((Spoken, Confirmation), SayArgs, Option<std::path::PathBuf>);

fn of_node(verb: &str, Called { args, control }: Called<NodeArgs>) -> Word {
    let spoken = Spoken::new(verb, Some(args.node.as_str()));
    ((spoken, Confirmation::Given), args.say, control)
}
