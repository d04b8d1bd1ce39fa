//! Reading one entry of a segment by its sequence, and its last one.

use criterion::{Criterion, criterion_group, criterion_main};
use streamkit_benches::load::{self, Load, Subject, Until};
use streamkit_benches::ours::VARIANTS;
use streamkit_benches::payload;
use streamkit_engine::{SegmentRead, Sequence, Store as _};

fn point_read(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let ours = VARIANTS[0].open(dir.path(), 1).expect("a store");
    let load = Load {
        records: 10,
        ..Load::single(64, Until::Calls(100))
    };
    load::run(&runtime, &Subject::Ours(ours.clone()), load, &mut Vec::new()).expect("appends");
    let store = &ours.stores[0];
    let mut group = criterion.benchmark_group("point_read");
    let mut turn = 0_u64;
    group.bench_function("by sequence", |bencher| {
        bencher.iter(|| {
            turn += 1;
            let (writer, sequence) = ((turn * 37 % 64) as usize, Sequence(turn * 61 % 1000 + 1));
            let read = SegmentRead {
                from: sequence,
                to: sequence,
                ..SegmentRead::all(payload::path(writer))
            };
            runtime.block_on(async { store.read_segment(read).next_batch().await.expect("an entry") })
        });
    });
    group.bench_function("peek", |bencher| {
        bencher.iter(|| runtime.block_on(store.peek(&payload::path(7))).expect("an entry"));
    });
    group.finish();
    ours.close(&runtime);
}

criterion_group! { name = benches; config = streamkit_benches::short!(Criterion); targets = point_read }
criterion_main!(benches);
