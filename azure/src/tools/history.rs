//! The whole list of a log's history: what the root lists, and what pages of the manifest do.

use super::damage::{LogDamage, LogPlace};
use super::patience::patiently;
use crate::log::{HistoryExtent, ManifestPage, StoreRoot};
use crate::medium::{Medium, Unanswered};

/// The extents of the history, oldest first, and what is wrong with the list. An extent that no list names is missing from it.
pub(super) struct WholeHistory {
    pub extents: Vec<HistoryExtent>,
    pub pages: u64,
    pub damage: Vec<LogDamage>,
}

/// Reads all pages of the manifest.
pub(super) async fn whole_history(medium: &dyn Medium, root: &StoreRoot) -> Result<WholeHistory, Unanswered> {
    let (mut newest_first, mut damage, mut pages) = (Vec::new(), Vec::new(), 0);
    // What has to be the last extent of the next list.
    let mut wanted = root.live.ordinal - 1;
    let (mut list, mut older, mut place) = (root.history.clone(), root.older, LogPlace::Root);
    loop {
        for extent in list.iter().rev() {
            if extent.ordinal != wanted || wanted == 0 {
                let what = format!("it lists extent {} where extent {wanted} has to be", extent.ordinal);
                damage.push(LogDamage { place, what });
            }
            // Whatever is listed is looked at, once and in its order.
            if newest_first
                .last()
                .is_none_or(|last: &HistoryExtent| extent.ordinal < last.ordinal)
            {
                newest_first.push(*extent);
            }
            wanted = extent.ordinal.saturating_sub(1);
        }
        let Some(page) = older else { break };
        if page.last != wanted {
            let what = format!("it says that older ones end with extent {}, not {wanted}", page.last);
            damage.push(LogDamage { place, what });
        }
        // Each page ends before the one that names it, or there would be no end.
        if page.last >= root.live.ordinal || newest_first.last().is_some_and(|last| page.last >= last.ordinal) {
            break;
        }
        place = LogPlace::Manifest(page.blob);
        let bytes = patiently(|| medium.get_blob(page.blob_name())).await?;
        let read = match &bytes {
            None => Err("it is not there".to_owned()),
            Some(bytes) => ManifestPage::decode(bytes).map_err(|why| why.to_string()),
        };
        match read {
            Ok(read) if !read.history.is_empty() => {
                pages += 1;
                (list, older) = (read.history, read.older);
                wanted = page.last;
            }
            read => {
                let what = read.err().unwrap_or_else(|| "it lists nothing".to_owned());
                damage.push(LogDamage { place, what });
                wanted = 0;
                break;
            }
        }
    }
    if wanted > 0 {
        let what = format!("extents 1 to {wanted} are listed nowhere");
        damage.push(LogDamage { place, what });
    }
    newest_first.reverse();
    Ok(WholeHistory {
        extents: newest_first,
        pages,
        damage,
    })
}
