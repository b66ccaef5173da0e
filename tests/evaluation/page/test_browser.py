"""The page in a real browser: pointed at, clicked, on a phone, in the dark, printed."""

import base64
import shutil
from dataclasses import replace

import pytest

from videowino.evaluation.page import write_page

pytest.importorskip("selenium", reason='needs selenium: pip install ".[dev]"')
from selenium import webdriver  # noqa: E402
from selenium.webdriver import ActionChains  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="needs a browser and its driver: apt install chromium chromium-driver",
)
_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
)


@pytest.fixture(scope="module")
def driver():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver, page, tmp_path):
    """A window as wide as a desk's, with the page in it."""
    write_page(page, tmp_path / "report.html")
    show(driver, 1200)
    emulate(driver, {})
    driver.get((tmp_path / "report.html").as_uri())
    yield driver
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def show(driver, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def emulate(driver, features):
    listed = [{"name": name, "value": value} for name, value in features.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})


def all_of(browser, selector):
    return browser.find_elements("css selector", selector)


def shown(browser, selector):
    return [element for element in all_of(browser, selector) if element.is_displayed()]


def mark(browser, name):
    return next(m for m in shown(browser, ".mark") if m.get_attribute("data-network") == name)


def test_pointing_and_clicking(browser, tmp_path):
    assert [s.get_attribute("data-network") for s in shown(browser, ".network")] == ["quarter"]
    (tip,) = all_of(browser, "#tip")
    assert not tip.is_displayed()
    halo = mark(browser, "half <b>").find_element("css selector", ".halo")
    ActionChains(browser).move_to_element(halo).perform()
    assert tip.text.splitlines() == [
        "half <b>",
        "1.20x, 83.33 ms a clip",
        "60.2 % video-level, 56.0 % clip-level",
        "50 % of the columns kept",
    ]
    ActionChains(browser).click(halo).perform()
    (section,) = shown(browser, ".network")
    assert section.find_element("css selector", "h2").text == "half <b>"
    assert browser.current_url.endswith("#network-2")
    pressed = [b.text for b in all_of(browser, ".tabs [aria-pressed=true]")]
    assert pressed == ["half <b>"]
    picture = base64.b64decode(browser.get_screenshot_as_base64())
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
    browser.refresh()  # the address says which network
    assert [s.get_attribute("data-network") for s in shown(browser, ".network")] == ["half <b>"]


def test_the_batch_size_is_chosen_for_plot_and_layers(browser):
    before = mark(browser, "quarter").find_element("css selector", ".halo").get_attribute("cx")
    (button,) = all_of(browser, '.choice [data-batch="8"]')
    button.click()
    after = mark(browser, "quarter").find_element("css selector", ".halo").get_attribute("cx")
    assert before != after
    (table,) = shown(browser, ".layers")
    assert "batch 8" in table.text and "1.0x" in table.text


def test_the_keyboard_does_all_of_it(browser):
    browser.execute_script("arguments[0].focus()", mark(browser, "dense"))
    (tip,) = all_of(browser, "#tip")
    assert tip.text.startswith("dense")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert [s.get_attribute("data-network") for s in shown(browser, ".network")] == ["dense"]


def test_tables_are_sorted_by_a_click(browser):
    def names():
        return [e.text for e in all_of(browser, "#networks tbody th")]

    head = next(h for h in all_of(browser, "#networks thead th") if h.text == "clip-level")
    assert names() == ["dense", "half <b>", "quarter"]
    head.click()
    assert names() == ["quarter", "dense", "half <b>"]  # 60.0, 57.5, 56.0
    head.click()
    assert names() == ["half <b>", "dense", "quarter"]


def test_a_phone_needs_no_sideways_scrolling(browser):
    show(browser, 380)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= 380
    assert shown(browser, ".narrow-plot") and not shown(browser, ".wide-plot")
    browser.execute_script("scrollTo(0, 0)")
    halo = mark(browser, "dense").find_element("css selector", ".halo")
    ActionChains(browser).click(halo).perform()
    assert [s.get_attribute("data-network") for s in shown(browser, ".network")] == ["dense"]


@pytest.mark.parametrize("length", [37, 75])
def test_long_names_of_networks_fit_a_phone(driver, page, tmp_path, length):
    long = ("low_rank_8_sparsity75_taylor_seed0_" * 3)[:length]

    def named(by_name):
        return {long if name == "quarter" else name: value for name, value in by_name.items()}

    comparison, said = page.comparison, page.comparison.predictions
    rows = [replace(r, name=long) if r.name == "quarter" else r for r in comparison.rows]
    layers = [replace(entry, ms_per_clip=named(entry.ms_per_clip)) for entry in comparison.layers]
    said = replace(said, predicted=named(said.predicted), probability=named(said.probability))
    comparison = replace(comparison, rows=rows, layers=layers, predictions=said)
    page = replace(page, comparison=comparison, details=named(page.details))
    write_page(page, tmp_path / "report.html")
    for width in (380, 1200):
        show(driver, width)
        driver.get((tmp_path / "report.html").as_uri())
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        outside = driver.execute_script(
            "return [...document.querySelectorAll('svg.plot text.name')].filter((text) => {"
            "  const at = text.getBoundingClientRect();"
            "  const box = text.closest('svg').getBoundingClientRect();"
            "  return at.width && (at.left < box.left || at.right > box.right); }).length"
        )
        assert outside == 0
    show(driver, 380)
    cell = next(c for c in all_of(driver, "#networks tbody th") if c.text == long)
    assert cell.rect["width"] < 0.5 * 380  # figures are to be seen beside it


def test_names_of_classes_are_whole(driver, page, tmp_path):
    """Wide letters, many classes: what stands beside the confusion matrix is inside it."""
    for count in (3, 40):
        names = [f"MmWw & {n} \u6b69\u304f JUGGLING" for n in range(count)]
        said = replace(page.comparison.predictions, class_names=names)
        wide = replace(page, comparison=replace(page.comparison, predictions=said))
        write_page(wide, tmp_path / "report.html")
        show(driver, 1200)
        driver.get((tmp_path / "report.html").as_uri())
        (matrix,) = shown(driver, ".matrix")
        outside = driver.execute_script(
            "const box = arguments[0].getBoundingClientRect();"
            "return [...arguments[0].querySelectorAll('text')].filter((text) => {"
            "  const at = text.getBoundingClientRect();"
            "  return at.left < box.left || at.top < box.top; }).length",
            matrix,
        )
        assert outside == 0


def test_the_dark_is_dark_and_legible(browser):
    def brightness(rule):
        colour = browser.execute_script(f"return getComputedStyle(document.body).{rule}")
        return sum(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")) / 765

    assert brightness("backgroundColor") > 0.9 and brightness("color") < 0.2
    emulate(browser, {"prefers-color-scheme": "dark"})
    assert brightness("backgroundColor") < 0.15 and brightness("color") > 0.8


def test_clips_move_unless_asked_not_to(browser):
    def moves():
        (clip, *_) = shown(browser, ".clip")
        return browser.execute_script("return arguments[0].getAnimations().length", clip)

    assert moves() == 1
    emulate(browser, {"prefers-reduced-motion": "reduce"})
    assert moves() == 0


def test_print_has_all_networks(browser):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert len(shown(browser, ".network")) == 3
    assert len(shown(browser, ".wide-plot")) == 2 and not shown(browser, ".tabs")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") >= 3


def test_the_dark_is_not_printed(browser):
    def empty():
        style = "getComputedStyle(document.documentElement)"
        return browser.execute_script(f"return {style}.getPropertyValue('--empty')").strip()

    light = empty()
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    for media, wanted in (("screen", False), ("print", True)):
        emulated = {"media": media, "features": dark}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulated)
        assert (empty() == light) == wanted
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
