"""The jobs of jobs.sh in Python: python.py NAME. Each prints what it computed, to be compared."""
import io
import json
import sys
import zlib

import numpy as np


def merge():
    import pandas
    n = 1_600_000
    random = np.random.default_rng(1)
    left = pandas.DataFrame({"key": random.permutation(n), "a": np.arange(n), "b": np.arange(n) * 0.5})
    right = pandas.DataFrame({"key": random.permutation(n), "c": np.arange(n), "d": np.arange(n) * 2})
    both = left.merge(right, on="key")
    return len(both), int((both.a * both.c % 1009).sum()), float(both.b.sum()), int(both.d.iloc[12345])


def groupby():
    import pandas
    n = 6_000_000
    random = np.random.default_rng(2)
    table = pandas.DataFrame({"k": random.integers(0, 50_000, n), "v": np.arange(n) % 977, "w": np.arange(n) % 31 * 0.5})
    result = table.groupby("k").agg({"v": ["sum", "max"], "w": "mean"})
    return len(result), int(result["v"]["sum"].sum()), int(result["v"]["max"].sum()), float(result["w"]["mean"].iloc[77])


def argsort():
    a = np.random.default_rng(3).integers(0, 1 << 60, 12_000_000)
    order = np.argsort(a[:10_000_000] % 1_000_003, kind="stable")
    return int(order[::1000].sum()), int(a[order[:10]].sum())


def jsonload():
    text = io.StringIO()
    text.write("[")
    for i in range(500_000):
        text.write('{"id": %d, "name": "n%d", "tags": ["a%d", "b"], "x": %d.5},' % (i, i, i % 100, i))
    text.write("0]")
    text.seek(0)
    data = json.load(text)
    return len(data), sum(d["id"] * len(d["tags"]) for d in data[:-1]), data[-2]["name"]


def lxml():
    from lxml import etree
    text = b"<r>" + b"".join(b"<e id='%d'><n>name %d</n><v>%d</v></e>" % (i, i, i * 7) for i in range(400_000)) + b"</r>"
    root = etree.fromstring(text)
    del text
    return len(root), sum(int(e.get("id")) + len(e[0].text) + int(e[1].text) for e in root)


def soup():
    from bs4 import BeautifulSoup
    html = "<html>" + "".join("<p class=c%d>text <b>%d</b> and <i>more</i></p>" % (i % 7, i) for i in range(60_000)) + "</html>"
    page = BeautifulSoup(html, "lxml")
    return len(page.find_all("p")), sum(int(b.string) for b in page.find_all("b"))


def networkx():
    import networkx
    g = networkx.gnm_random_graph(150_000, 800_000, seed=4)
    return g.number_of_edges(), sum(networkx.single_source_shortest_path_length(g, 0).values()), \
        networkx.number_connected_components(g)


def forest():
    from sklearn.ensemble import RandomForestRegressor
    random = np.random.default_rng(5)
    x = random.random((150_000, 60))
    y = x[:, 0] * 3 + x[:, 1] ** 2
    model = RandomForestRegressor(n_estimators=2, max_features=4, random_state=1, n_jobs=1).fit(x, y)
    return sum(e.tree_.node_count for e in model.estimators_), float(model.predict(x[:1000]).sum())


def xgboost():
    import xgboost
    random = np.random.default_rng(6)
    x = random.random((250_000, 60), dtype=np.float32)
    y = x[:, 0] * 3 + x[:, 1] ** 2
    model = xgboost.train({"tree_method": "hist", "max_depth": 6, "nthread": 1, "seed": 1}, xgboost.DMatrix(x, y), 3)
    return (zlib.crc32("".join(model.get_dump()).encode()),)


def statsmodels():
    import statsmodels.api
    random = np.random.default_rng(7)
    x = random.random((400_000, 24))
    result = statsmodels.api.OLS(x @ np.arange(24) + random.random(len(x)), x).fit()
    return "%.6f" % result.rsquared, ["%.4f" % p for p in result.params[:5]]


def h5py():
    import h5py
    with h5py.File("data.h5", "w", driver="core", backing_store=False) as f:
        d = f.create_dataset("x", (700, 100_000), dtype="f8", chunks=(10, 100_000))
        for i in range(0, 700, 10):
            d[i:i + 10] = np.arange(1_000_000).reshape(10, -1) + i
        whole = d[:, ::4]
        return float(whole.sum()), float(d[:, 777].sum())


def pillow():
    from PIL import Image, ImageFilter
    Image.MAX_IMAGE_PIXELS = None
    picture = Image.effect_noise((5500, 5500), 0).convert("RGB")
    picture.paste((10, 20, 30), (1000, 1000, 5000, 4000))
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    small = turned.filter(ImageFilter.BoxBlur(3)).resize((500, 500))
    return (zlib.crc32(small.tobytes()), zlib.crc32(turned.crop((0, 0, 900, 900)).tobytes()))


def sparse():
    import scipy.sparse
    random, n = np.random.default_rng(8), 3_000_000
    places = random.integers(0, 200_000, n), random.integers(0, 200_000, n)
    a = scipy.sparse.coo_matrix((np.arange(n) % 97 * 1.0, places), (200_000, 200_000)).tocsr()
    b = a @ a[:, :60_000]
    return b.nnz, float(b.sum())


def fft():
    import scipy.fft
    x = np.arange(7_000_000) % 1021 * 1.0
    y = scipy.fft.irfft(scipy.fft.rfft(x))
    return (int(np.rint(y).sum()), int(np.rint(y[::12345]).sum()), bool(np.allclose(x, y)))


def torch():
    import torch
    torch.manual_seed(1)
    torch.set_num_threads(1)
    x = torch.arange(14_000_000, dtype=torch.float64) % 1009
    y = (x.view(1400, 10_000) * 2).t().contiguous() + 1
    return int(y.sum()), int(y[777].sum()), int(torch.sort(y[:500].flatten())[0][::1000].sum())


def objects():
    rows = [{"i": i, "s": str(i), "t": (i, i + 1)} for i in range(700_000)]
    rows.sort(key=lambda row: row["s"])
    return sum(row["t"][1] for row in rows), rows[555_555]["s"]


if __name__ == "__main__":
    print(sys.argv[1], *globals()[sys.argv[1]]())
