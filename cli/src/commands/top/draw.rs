//! What is drawn: figures, operations, segments; at 80 columns and 24 lines, and better where there is more room.

use std::collections::VecDeque;

use indicatif::HumanBytes;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Sparkline, Table};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use uuid::Uuid;

use super::view::{Quantiles, View};
use crate::terminal::shown::shown;

/// Looks whose rates are kept: one a column of a wide terminal.
const PAST_MAX: usize = 512;

/// Columns of a group of figures, and the gap behind it.
const GROUP: u16 = 36;
const GAP: u16 = 4;

/// Operations that are shown, if there are as many.
const OPERATIONS_MAX: usize = 6;

/// Columns of a figure in a table.
const CELL: u16 = 12;

/// What is known, and how it stands.
pub(super) struct Drawn {
    url: String,
    store: Uuid,
    view: Option<View>,
    /// Why the last look failed.
    missed: Option<String>,
    /// Entries a second, the newest last.
    past: VecDeque<u64>,
}

impl Drawn {
    pub(super) fn new(url: &str, store: Uuid) -> Self {
        Self {
            url: url.to_owned(),
            store,
            view: None,
            missed: None,
            past: VecDeque::new(),
        }
    }

    /// A look that succeeded.
    pub(super) fn put(&mut self, view: View) {
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past
            .push_back(view.entries_per_second.unwrap_or(0.0).round() as u64);
        (self.view, self.missed) = (Some(view), None);
    }

    /// One that did not. What was known stays, as it was.
    pub(super) fn missed(&mut self, why: String) {
        self.missed = Some(why);
    }

    pub(super) fn on(&self, frame: &mut Frame<'_>) {
        let [title, state, _, rest, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let width = usize::from(title.width);
        let name = fitted(&format!(" streamkit top  {}", self.url), width);
        frame.render_widget(Paragraph::new(format!("{name:width$}")).reversed(), title);
        frame.render_widget(Paragraph::new(self.state(width)), state);
        if let Some(view) = &self.view {
            // What was so some time ago is shown as that.
            let style = match self.missed {
                Some(_) => Style::new().dim(),
                None => Style::new(),
            };
            self.figures(view, style, frame, rest);
        }
        let told = format!(" q leaves   store {}", self.store);
        frame.render_widget(Paragraph::new(fitted(&told, width)).dim(), foot);
    }

    fn state(&self, width: usize) -> Line<'static> {
        let (told, is_well) = match (&self.missed, &self.view) {
            (Some(why), _) => (format!(" no answer, trying again: {why}"), false),
            (None, None) => (" looking …".to_owned(), true),
            (None, Some(view)) => match (view.ready, view.halted_stores) {
                (_, Some(halted)) if halted > 0 => (format!(" not ready: {halted} stores take no writes"), false),
                (Some(false), _) => (" not ready: its /readyz says why".to_owned(), false),
                (Some(true), _) => (" ready".to_owned(), true),
                (None, _) => (" it does not say whether it is ready".to_owned(), false),
            },
        };
        let told = Span::raw(fitted(&told, width));
        Line::from(if is_well { told } else { told.bold().red() })
    }

    fn figures(&self, view: &View, style: Style, frame: &mut Frame<'_>, area: Rect) {
        let operations = view.operations.len().clamp(1, OPERATIONS_MAX);
        let [figures, _, calls, _, busiest] = Layout::vertical([
            Constraint::Length(7),
            Constraint::Length(1),
            Constraint::Length(u16::try_from(operations).unwrap_or_default() + 1),
            Constraint::Length(1),
            Constraint::Min(0),
        ])
        .areas(area);
        let [left, _, right, _, past] = Layout::horizontal([
            Constraint::Length(GROUP),
            Constraint::Length(GAP),
            Constraint::Length(GROUP),
            Constraint::Length(GAP),
            Constraint::Min(0),
        ])
        .areas(figures);
        let lines = |figures: &[(&str, String)]| figures.iter().map(|(name, value)| figure(name, value)).collect();
        let [flow, stored] = [flow(view), stored(view)].map(|figures| lines(&figures));
        frame.render_widget(Paragraph::new::<Vec<Line<'_>>>(flow).style(style), left);
        frame.render_widget(Paragraph::new::<Vec<Line<'_>>>(stored).style(style), right);
        self.past(style, frame, past);
        frame.render_widget(calls_table(view).style(style), calls);
        frame.render_widget(busiest_table(view, busiest).style(style), busiest);
    }

    /// Where there is room: entries a second, over the last looks.
    fn past(&self, style: Style, frame: &mut Frame<'_>, area: Rect) {
        let [head, bars] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        let shown = usize::from(area.width).min(self.past.len());
        let past: Vec<u64> = self.past.range(self.past.len() - shown..).copied().collect();
        let most = past.iter().max().copied().unwrap_or(0);
        let head_line = fitted(&format!("entries/s, up to {most}"), usize::from(area.width));
        frame.render_widget(Paragraph::new(head_line).style(style.dim()), head);
        frame.render_widget(Sparkline::default().data(&past).style(style), bars);
    }
}

/// A name to the left and its value to the right.
fn figure(name: &str, value: &str) -> Line<'static> {
    let gap = usize::from(GROUP).saturating_sub(name.width() + value.width());
    Line::from(vec![
        Span::raw(format!(" {name}")).dim(),
        Span::raw(" ".repeat(gap.saturating_sub(1))),
        Span::raw(value.to_owned()),
    ])
}

fn flow(view: &View) -> [(&'static str, String); 7] {
    [
        ("entries/s", rate(view.entries_per_second)),
        ("transactions/s", rate(view.transactions_per_second)),
        ("appends refused/s", rate(view.appends_failed_per_second)),
        ("received/s", bytes_rate(view.received_bytes_per_second)),
        ("sent/s", bytes_rate(view.sent_bytes_per_second)),
        ("connections", number(view.connections)),
        ("channels", number(view.channels)),
    ]
}

fn stored(view: &View) -> [(&'static str, String); 7] {
    let both = |times: Quantiles| format!("{} / {}", time(times.p50), time(times.p99));
    let queued = format!("{} ({})", bytes(view.queued_bytes), number(view.queued_transactions));
    [
        ("commit p50/p99", both(view.commit_us)),
        ("sync p50/p99", both(view.sync_us)),
        ("written/s", bytes_rate(view.written_bytes_per_second)),
        ("queued (transactions)", queued),
        ("logs of open stores", bytes(view.log_bytes)),
        ("disk free", bytes(view.disk_free_bytes)),
        ("open stores", number(view.open_stores)),
    ]
}

fn calls_table(view: &View) -> Table<'static> {
    let rows = view.operations.iter().take(OPERATIONS_MAX).map(|of| {
        let (p50, p99) = (of.latency_us.p50, of.latency_us.p99);
        let cells = [
            rate(Some(of.per_second)),
            rate(Some(of.failed_per_second)),
            time(p50),
            time(p99),
        ];
        table_row(format!(" {}", printable(&of.operation)), &cells)
    });
    let mut widths = vec![Constraint::Length(CELL); 5];
    widths[0] = Constraint::Length(24);
    let head = ["ended/s", "failed/s", "p50", "p99"].map(str::to_owned);
    Table::new(rows, widths).header(table_row(" operation".to_owned(), &head).dim())
}

fn busiest_table(view: &View, area: Rect) -> Table<'static> {
    let room = area.width.saturating_sub(2 * (CELL + 1));
    let rows = view.busiest.iter().map(|moved| {
        let name = format!(" {}/{}", moved.space, moved.segment);
        let cells = [rate(Some(moved.entries_per_second)), moved.last_sequence.to_string()];
        table_row(fitted(&name, usize::from(room)), &cells)
    });
    let widths = [
        Constraint::Length(room),
        Constraint::Length(CELL),
        Constraint::Length(CELL),
    ];
    let title = match &view.busiest_unknown {
        None => " busiest segments".to_owned(),
        Some(why) => format!(" busiest segments: {why}"),
    };
    let head = ["entries/s", "head"].map(str::to_owned);
    Table::new(rows, widths).header(table_row(fitted(&title, usize::from(room)), &head).dim())
}

/// The first cell to the left, the others to the right.
fn table_row(first: String, cells: &[String]) -> Row<'static> {
    let cells = cells.iter().map(|cell| Line::from(cell.clone()).right_aligned());
    Row::new(std::iter::once(Line::from(first)).chain(cells))
}

/// Text of others without what steers a terminal, or moves what stands behind it.
fn printable(text: &str) -> String {
    shown(text).to_string().replace('\t', "\\u{9}")
}

/// As much of it as so many columns take.
fn fitted(text: &str, columns: usize) -> String {
    let text = printable(text);
    if text.width() <= columns {
        return text;
    }
    let mut room = columns.saturating_sub(1);
    let mut fits = String::new();
    for character in text.chars() {
        let Some(left) = room.checked_sub(character.width().unwrap_or(0)) else {
            break;
        };
        room = left;
        fits.push(character);
    }
    if columns > 0 {
        fits.push('…');
    }
    fits
}

const UNKNOWN: &str = "-";

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string())
}

fn rate(rate: Option<f64>) -> String {
    match rate {
        None => UNKNOWN.to_owned(),
        Some(rate) if rate > 0.0 && rate < 10.0 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| UNKNOWN.to_owned(), |bytes| HumanBytes(bytes).to_string())
}

fn bytes_rate(rate: Option<f64>) -> String {
    bytes(rate.map(|rate| rate.round() as u64))
}

fn time(microseconds: Option<f64>) -> String {
    match microseconds {
        None => UNKNOWN.to_owned(),
        Some(us) if us < 1e3 => format!("{us:.0} µs"),
        Some(us) if us < 1e6 => format!("{:.1} ms", us / 1e3),
        Some(us) => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_at_whole_characters_and_steer_nothing() {
        assert_eq!(fitted("orders", 6), "orders");
        assert_eq!(fitted("orders", 5), "orde…");
        assert_eq!(fitted("日本語", 6), "日本語");
        assert_eq!(fitted("日本語", 5), "日本…");
        assert_eq!(fitted("日本語", 4), "日…");
        assert_eq!(fitted("a\t\u{1b}[2J\n", 99), "a\\u{9}\\u{1b}[2J\\u{a}");
        assert_eq!((fitted("ab", 1).as_str(), fitted("ab", 0).as_str()), ("…", ""));
    }
}
