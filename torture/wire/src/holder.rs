//! A producer that works only while it holds the lease, or believes so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use streamkit_client::record::{Fence, FencingToken};
use streamkit_client::{Append, Error, Lease, LeaseChange, StoreClient};
use streamkit_engine::Dice;

use crate::grants::Grant;
use crate::reader::is_of_the_network;
use crate::shift::Shift;
use crate::witness::{Broken, Part, SEGMENTS, Witness, name, segment_of};
use crate::writer::{nobody_knows, nothing_was_done};

/// The lease of all.
const KEY: &str = "leader";

/// The same in all calls: one that comes late, or twice, must not cut another short.
const TTL: Duration = Duration::from_millis(60);

/// How often what nobody answered is sent again.
const RETRIES: u32 = 3;

/// A producer with a connection of its own.
pub(crate) struct Holder {
    pub store: StoreClient,
    pub witness: Arc<Witness>,
    pub dice: Dice,
    /// Who it is.
    pub number: u64,
    /// Times that it gave a lease up. It then takes another name: a release names its holder alone, and may come late or twice.
    pub gave_up: u32,
    /// An attempt that is there, and its token.
    pub stored: Option<(usize, FencingToken)>,
    /// The heads that it knows.
    pub heads: [u64; SEGMENTS.len()],
}

impl Holder {
    /// Wants the lease each turn, and appends with whatever token it has, also one that counts no longer.
    pub async fn work(mut self, mut shift: Shift) {
        let mut token = None;
        while shift.goes_on() {
            if let Err(why) = self.round(&mut token).await {
                self.witness.breaks(why);
            }
        }
    }

    async fn round(&mut self, token: &mut Option<FencingToken>) -> Result<(), Broken> {
        let change = match self.dice.below(8) {
            0 => LeaseChange::Release,
            1 | 2 => LeaseChange::Renew,
            _ => LeaseChange::Acquire,
        };
        if let Some(granted) = self.ask(change).await? {
            *token = Some(granted);
        }
        if let Some(token) = *token {
            for _ in 0..self.dice.below(4) {
                self.append(token).await?;
            }
        }
        // Once more: also when another holds the lease by then, it is there.
        if let Some((attempt, token)) = self.stored
            && self.dice.chance(1, 2)
        {
            self.send(attempt, token).await?;
        }
        tokio::time::sleep(Duration::from_millis(self.dice.below(30))).await;
        Ok(())
    }

    /// Asks for the lease. Returns the token if it is held.
    async fn ask(&mut self, change: LeaseChange) -> Result<Option<FencingToken>, Broken> {
        let lease = Lease {
            change,
            key: name(KEY),
            holder: name(&format!("holder-{}-{}", self.number, self.gave_up)),
            ttl: TTL,
        };
        let (called, called_at) = (self.witness.now(), Instant::now());
        if change == LeaseChange::Release {
            self.witness.grants().gives_up(self.number, called_at);
            self.gave_up += 1;
        }
        match self.store.lease(lease).await {
            Ok(leased) if change == LeaseChange::Release => {
                let answered = self.witness.now();
                if let Some(token) = leased.token {
                    self.witness.grants().is_over(token.0, answered);
                }
                Ok(None)
            }
            Ok(leased) => {
                let Some(token) = leased.token else { return Ok(None) };
                let grant = Grant {
                    token: token.0,
                    holder: self.number,
                    called,
                    answered: self.witness.now(),
                    from: Instant::now(),
                    until: called_at + leased.ttl,
                };
                self.witness.grants().granted(grant);
                Ok(Some(token))
            }
            Err(error) if is_of_the_network(&error) || nobody_knows(&error) => Ok(None),
            Err(error) => Err(format!("a lease fails for no reason: {error}")),
        }
    }

    async fn append(&mut self, token: FencingToken) -> Result<(), Broken> {
        let segment = self.dice.below(SEGMENTS.len() as u64) as usize;
        let part = Part {
            segment,
            // What demands a sequence is known again by that, and not by its id.
            first: match self.dice.chance(1, 2) {
                true => 0,
                false => self.heads[segment] + 1,
            },
            count: 1,
            extra: self.dice.below(100) as u32,
        };
        let attempt = self.witness.attempt(vec![part], Vec::new());
        self.witness.attempts()[attempt].token = Some(token.0);
        for _ in 0..RETRIES {
            if self.send(attempt, token).await? {
                break;
            }
        }
        Ok(())
    }

    /// One call of it. Whether somebody said what became of it.
    async fn send(&mut self, attempt: usize, token: FencingToken) -> Result<bool, Broken> {
        let append = Append {
            id: self.witness.id(attempt),
            fence: Some(Fence { key: name(KEY), token }),
            ..Append::new(self.witness.sections(attempt, false))
        };
        match self.store.append(append).await {
            Ok(appended) => {
                let firsts: Vec<u64> = appended.sections.iter().map(|(first, _)| first.0).collect();
                let told = (appended.position, appended.timestamp.0);
                let segment = self.witness.attempts()[attempt].parts[0].segment;
                self.heads[segment] = self.heads[segment].max(firsts[0]);
                self.witness.acknowledged(attempt, told, &firsts, appended.is_known);
                if self.stored.is_none() || self.dice.chance(1, 3) {
                    self.stored = Some((attempt, token));
                }
            }
            Err(Error::Conflicts { heads, .. }) => {
                self.witness.refused(attempt, "conflict");
                for (path, head) in heads {
                    let segment =
                        segment_of(&path).ok_or_else(|| format!("a conflict of {path}, which nobody uses"))?;
                    self.heads[segment] = self.heads[segment].max(head.0);
                }
            }
            Err(Error::FencedOff { .. }) => self.witness.refused(attempt, "fenced off"),
            Err(error) if nothing_was_done(&error) => return Ok(false),
            Err(error) if nobody_knows(&error) => {
                self.witness.unknown(attempt);
                return Ok(false);
            }
            Err(error) => return Err(format!("attempt {attempt} fails for no reason: {error}")),
        }
        Ok(true)
    }
}
