"""``kopia://`` beneath the libraries that read data: each with real files, and what it fetched counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import pykopia
from pykopia.access.filesystem import KopiaFileSystem
from pykopia.errors import UnreadableFileError
from pykopia.storage import ConnectionInfo, S3Options, open_storage
from pykopia.testing import CountingStorage
from tests.servers.s3 import S3Server, admin

from .conftest import PASSWORD

# warnings of these libraries are theirs
pytestmark = pytest.mark.filterwarnings("default")

Take = Callable[..., pykopia.SnapshotManifest]

LATEST = "ann@box:/data/@latest"
URL = f"kopia://{LATEST}"
UNIQUE = pykopia.NewRepositoryOptions(unique_id=b"the same, so keys are cached ...")
ROWS, GROUP = 400_000, 100_000


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of tables: Parquet with row groups, CSV, and a partitioned data set."""
    pandas = pytest.importorskip("pandas", reason="install tests/requirements.txt")
    numpy = pytest.importorskip("numpy", reason="install tests/requirements.txt")
    pytest.importorskip("pyarrow", reason="install tests/requirements.txt")
    folder = tmp_path_factory.mktemp("tables")
    chance = numpy.random.default_rng(1)
    frame = pandas.DataFrame(
        {
            "number": numpy.arange(ROWS),
            "value": chance.random(ROWS),
            "other": chance.random(ROWS),
            "group": chance.integers(0, 4, ROWS),
        }
    )
    frame.to_parquet(folder / "table.parquet", row_group_size=GROUP, compression="none")
    frame.head(1000).to_csv(folder / "table.csv", index=False)
    for number, part in frame.head(8000).groupby("group"):
        (folder / "parts" / f"group={number}").mkdir(parents=True)
        part.drop(columns="group").to_parquet(folder / "parts" / f"group={number}" / "part.parquet")
    return folder


@pytest.fixture
def remote(fs: KopiaFileSystem, storage: CountingStorage, source: Path, tables: Path, take: Take) -> KopiaFileSystem:
    """Back the tables up; return the filesystem, with nothing counted so far."""
    import shutil

    shutil.copytree(tables, source, dirs_exist_ok=True)
    take()
    fs.invalidate_cache()
    fs.find(LATEST)
    storage.clear()
    return fs


def back_up(repository: str | Path | S3Options, folder: Path, *, as_path: str) -> None:
    options = pykopia.SnapshotOptions(source=pykopia.SourceInfo(user_name="ann", host="box", path=as_path))
    with pykopia.connect(repository, PASSWORD) as opened:
        opened.snapshots.create(folder, options=options)


@pytest.fixture
def on_disk(tmp_path: Path, tables: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Back the tables up to a repository in a folder; return the options that open it, also in another process."""
    pykopia.create(tmp_path / "repository", PASSWORD, options=UNIQUE).close()
    back_up(tmp_path / "repository", tables, as_path="/data")
    monkeypatch.setenv("KOPIA_PASSWORD", PASSWORD)
    return {"repo": str(tmp_path / "repository")}


def test_pandas_reads_parquet_and_csv_by_url(on_disk: dict[str, Any], tables: Path) -> None:
    pandas = pytest.importorskip("pandas")
    expected = pandas.read_parquet(tables / "table.parquet")
    assert pandas.read_parquet(f"{URL}/table.parquet", storage_options=on_disk).equals(expected)
    some = pandas.read_parquet(f"{URL}/table.parquet", storage_options=on_disk, columns=["value"])
    assert some.equals(expected[["value"]])
    csv = pandas.read_csv(f"{URL}/table.csv", storage_options=on_disk)
    assert csv.equals(pandas.read_csv(tables / "table.csv"))
    assert len(pandas.read_parquet(f"{URL}/parts", storage_options=on_disk)) == 8000


def test_pyarrow_scans_a_partitioned_data_set(remote: KopiaFileSystem) -> None:
    dataset = pytest.importorskip("pyarrow.dataset")
    parts = dataset.dataset(f"{LATEST}/parts", filesystem=remote, format="parquet", partitioning="hive")
    assert parts.count_rows() == 8000
    found = parts.to_table(filter=dataset.field("group") == 2, columns=["number", "group"])
    assert set(found["group"].to_pylist()) == {2}


@pytest.mark.parametrize("pre_buffer", [True, False])
def test_a_footer_and_one_column_of_one_row_group_fetch_the_chunks_that_hold_them_once(
    remote: KopiaFileSystem, storage: CountingStorage, *, pre_buffer: bool
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = f"{LATEST}/table.parquet"
    entry = remote.view.node(remote._node(path)[0]).entry
    assert entry is not None
    reader = remote.view.reader(entry)
    with remote.open(path) as file:
        table = parquet.ParquetFile(file, pre_buffer=pre_buffer)
        column = table.metadata.row_group(2).column(1)
        first = column.dictionary_page_offset or column.data_page_offset
        found = table.read_row_group(2, columns=["value"])
        assert len(found) == GROUP
    footer = reader.length - 8 - table.metadata.serialized_size
    needed = {
        chunk.content_id
        for chunk in (
            *reader.chunks(footer, reader.length),
            *reader.chunks(first, first + column.total_compressed_size),
        )
    }
    entries = [remote.view.repository.contents.entry(each) for each in needed]
    assert sum(length for _, length in ranges(storage)) == sum(each.packed_length for each in entries)
    assert len(needed) <= 3 < len(reader.chunks(0, reader.length))


def ranges(storage: CountingStorage) -> list[tuple[int, int]]:
    return [(call.offset, call.length) for call in storage.calls("get", "p")]


def test_fsspecs_own_way_to_open_parquet_fetches_no_chunk_twice(
    remote: KopiaFileSystem, storage: CountingStorage
) -> None:
    pandas = pytest.importorskip("pandas")
    from fsspec.parquet import open_parquet_file

    with open_parquet_file(f"{LATEST}/table.parquet", fs=remote, columns=["value"], engine="pyarrow") as file:
        assert len(pandas.read_parquet(file, columns=["value"])) == ROWS
    assert len(set(ranges(storage))) == len(ranges(storage))


def test_polars_reads_and_scans(remote: KopiaFileSystem, tables: Path) -> None:
    polars = pytest.importorskip("polars", reason="install tests/requirements.txt")
    dataset = pytest.importorskip("pyarrow.dataset")
    with remote.open(f"{LATEST}/table.parquet") as file:
        frame = polars.read_parquet(file, columns=["value"])
    expected = polars.read_parquet(tables / "table.parquet")
    assert frame.equals(expected.select("value"))
    lazy = polars.scan_pyarrow_dataset(dataset.dataset(f"{LATEST}/table.parquet", filesystem=remote))
    assert lazy.filter(polars.col("number") < 10).select("value").collect().equals(expected.head(10).select("value"))


def test_duckdb_queries_parquet_and_csv(remote: KopiaFileSystem, storage: CountingStorage) -> None:
    duckdb = pytest.importorskip("duckdb", reason="install tests/requirements.txt")
    with duckdb.connect() as database:
        database.register_filesystem(remote)
        count, total = database.execute(
            f"select count(*), sum(number) from read_parquet('{URL}/table.parquet')"
        ).fetchone()
        assert (count, total) == (ROWS, ROWS * (ROWS - 1) // 2)
        whole = sum(length for _, length in ranges(storage))
        assert whole < 12_000_000 * 0.8, "columns that are not asked for are not fetched"
        assert len(set(ranges(storage))) == len(ranges(storage))
        rows = database.execute(
            f"select \"group\", count(*) from read_parquet('{URL}/parts/*/*.parquet', hive_partitioning=true) group by 1"
        ).fetchall()
        assert sum(number for _, number in rows) == 8000
        assert database.execute(f"select count(*) from read_csv('{URL}/table.csv')").fetchone() == (1000,)


@pytest.fixture
def zarr_group(remote: KopiaFileSystem, source: Path, take: Take, storage: CountingStorage) -> Any:  # noqa: ANN401
    """Back up an array of 8 x 8 chunks as zarr 3 writes it."""
    numpy = pytest.importorskip("numpy")
    zarr = pytest.importorskip("zarr", reason="install tests/requirements.txt")
    data = numpy.random.default_rng(2).random((256, 256))
    group = zarr.open_group(source / "cube.zarr", mode="w")
    group.create_array("field", data=data, chunks=(32, 32))
    take(1)
    remote.invalidate_cache()
    storage.clear()
    return data


def test_zarr_reads_an_array_and_takes_no_lost_chunk_for_an_empty_one(
    remote: KopiaFileSystem,
    storage: CountingStorage,
    zarr_group: Any,  # noqa: ANN401
) -> None:
    zarr = pytest.importorskip("zarr")
    from zarr.storage import FsspecStore

    remote_again = KopiaFileSystem(remote.view.repository, asynchronous=True)
    store = FsspecStore(remote_again, read_only=True, path=f"{LATEST}/cube.zarr")
    array = zarr.open_group(store, mode="r")["field"]
    assert (array[40:50, 200:210] == zarr_group[40:50, 200:210]).all()
    assert (array[:] == zarr_group).all()
    lost = remote.info(f"{LATEST}/cube.zarr/field/c/3/3")["object_id"]
    storage.delete(pykopia.BlobID(remote.view.repository.contents.entry(lost).pack_blob))
    fresh = FsspecStore(
        KopiaFileSystem(remote.view.repository, asynchronous=True), read_only=True, path=f"{LATEST}/cube.zarr"
    )
    with pytest.raises(UnreadableFileError):
        _ = zarr.open_group(fresh, mode="r")["field"][100, 100]


def test_xarray_opens_a_data_set_by_url(on_disk: dict[str, Any], source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numpy = pytest.importorskip("numpy")
    xarray = pytest.importorskip("xarray", reason="install tests/requirements.txt")
    pytest.importorskip("zarr")
    made = xarray.Dataset({"field": (("x", "y"), numpy.arange(10_000.0).reshape(100, 100))})
    made.to_zarr(source / "set.zarr", zarr_format=3)
    back_up(on_disk["repo"], source, as_path="/sets")
    found = xarray.open_zarr("kopia://ann@box:/sets@latest/set.zarr", storage_options=on_disk, chunks=None)
    assert found["field"].sum().item() == made["field"].sum().item()


@pytest.mark.slow
def test_dask_reads_by_two_processes(on_disk: dict[str, Any], tables: Path) -> None:
    pandas = pytest.importorskip("pandas")
    distributed = pytest.importorskip("distributed", reason="install tests/requirements.txt")
    frames = pytest.importorskip("dask.dataframe", reason="install tests/requirements.txt")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
    with cluster, distributed.Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        table = frames.read_parquet(f"{URL}/table.parquet", storage_options=on_disk, split_row_groups=True)
        assert table.npartitions > 1
        expected = pandas.read_parquet(tables / "table.parquet")
        assert table["number"].sum().compute() == expected["number"].sum()
        csv = frames.read_csv(f"{URL}/table.csv", storage_options=on_disk)
        assert len(csv) == 1000
        assert PASSWORD not in str(table.dask)


def test_a_cache_on_disk_of_fsspec_stands_before_it(on_disk: dict[str, Any], tmp_path: Path, tables: Path) -> None:
    with fsspec.open(
        f"simplecache::{URL}/table.csv", kopia=on_disk, simplecache={"cache_storage": str(tmp_path / "cache")}
    ) as file:
        assert file.read() == (tables / "table.csv").read_bytes()


def test_over_s3_a_footer_and_one_column_fetch_their_chunks_once(
    seaweedfs: S3Server, tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    admin(seaweedfs).call_s3("create_bucket", Bucket="access-columns")
    where = S3Options(
        bucket="access-columns",
        endpoint=seaweedfs.endpoint,
        do_not_use_tls=True,
        access_key_id=seaweedfs.access_key,
        secret_access_key=seaweedfs.secret_key,
    )
    new = pykopia.NewRepositoryOptions(splitter="FIXED-1M", unique_id=UNIQUE.unique_id)
    pykopia.create(where, PASSWORD, options=new).close()
    back_up(where, tables, as_path="/data")
    counted = CountingStorage(open_storage(ConnectionInfo.from_options(where)))
    with pykopia.connect(counted, PASSWORD, close_storage=True) as repository:
        fs = KopiaFileSystem(repository)
        with fs.open(f"{LATEST}/table.parquet") as file:
            found = parquet.ParquetFile(file).read_row_group(1, columns=["other"])
        assert len(found) == GROUP
        fetched = ranges(counted)
        assert len(set(fetched)) == len(fetched)
        # the column lies in two chunks of 1 MiB, the footer in another
        assert sum(length for _, length in fetched) < 3 * (1 << 20) + 1000
        assert fs.info(f"{LATEST}/table.parquet")["size"] > 11 << 20
    monkeypatch.setenv("KOPIA_PASSWORD", PASSWORD)
    monkeypatch.setenv("S3_SECRET", seaweedfs.secret_key)
    by_arguments = KopiaFileSystem(
        "s3://access-columns",
        options={"endpoint": seaweedfs.endpoint, "do_not_use_tls": True, "access_key_id": seaweedfs.access_key},
        secrets={"secret_access_key": "env:S3_SECRET"},
        skip_instance_cache=True,
    )
    assert seaweedfs.secret_key not in repr(by_arguments) + by_arguments.to_json()
    assert by_arguments.isfile(f"{LATEST}/table.csv")
    by_arguments.close()
