//! Scanning one segment, and one space, of 100 000 entries from the page cache.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use streamkit_benches::load::{self, Load, Subject, Until};
use streamkit_benches::ours::VARIANTS;
use streamkit_benches::rows::reads::read_all;
use streamkit_benches::{payload, verify};
use streamkit_engine::{SegmentRead, Store as _};

fn scan(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let ours = VARIANTS[0].open(dir.path(), 1).expect("a store");
    let load = Load {
        records: 1000,
        ..Load::single(1, Until::Calls(100))
    };
    load::run(&runtime, &Subject::Ours(ours.clone()), load, &mut Vec::new()).expect("appends");
    let store = &ours.stores[0];
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(100_000));
    group.bench_function("segment", |bencher| {
        bencher.iter(|| runtime.block_on(read_all(store.read_segment(SegmentRead::all(payload::path(0))))));
    });
    group.bench_function("space", |bencher| {
        bencher.iter(|| {
            runtime.block_on(read_all(
                verify::read_space(store, payload::SPACE).expect("a fine name"),
            ))
        });
    });
    group.finish();
    ours.close(&runtime);
}

criterion_group! { name = benches; config = streamkit_benches::short!(Criterion); targets = scan }
criterion_main!(benches);
