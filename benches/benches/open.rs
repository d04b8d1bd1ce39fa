//! Opening a store of 10 000 segments after a clean close.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use streamkit_benches::load::{self, Load, Subject, Until};
use streamkit_benches::ours::VARIANTS;

fn open(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let ours = VARIANTS[0].open(dir.path(), 1).expect("a store");
    let load = Load::single(10_000, Until::Calls(1));
    load::run(&runtime, &Subject::Ours(ours.clone()), load, &mut Vec::new()).expect("appends");
    ours.close(&runtime);
    criterion.bench_function("open/10 000 segments", |bencher| {
        bencher.iter_batched(
            || (),
            |()| {
                let ours = VARIANTS[0].open(dir.path(), 1).expect("a store");
                ours.close(&runtime);
            },
            BatchSize::PerIteration,
        );
    });
}

criterion_group! { name = benches; config = streamkit_benches::short!(Criterion); targets = open }
criterion_main!(benches);
