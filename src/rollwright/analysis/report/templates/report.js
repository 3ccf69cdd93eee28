(function () {
  "use strict";
  var root = document.documentElement;
  var system = window.matchMedia("(prefers-color-scheme: dark)");
  var charts = Array.prototype.slice.call(document.querySelectorAll("[data-figure]"));
  var config = { responsive: true, displaylogo: false, displayModeBar: false, plotlyServerURL: "" };
  var drawn = new Set();

  function isDark() {
    return root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
  }

  function palette(onPaper) {
    return isDark() && !onPaper
      ? { text: "#d7dae0", grid: "#33373f", zero: "#5a606b", hover: "#23262d" }
      : { text: "#30343c", grid: "#e7e9ee", zero: "#b4b9c3", hover: "#ffffff" };
  }

  function theme(layout, onPaper, width) {
    var colours = palette(onPaper);
    var family = getComputedStyle(document.body).fontFamily;
    layout.font = { family: family, size: width < 480 ? 11 : 12.5, color: colours.text };
    layout.hoverlabel = { bgcolor: colours.hover, bordercolor: colours.grid, font: { family: family, color: colours.text } };
    Object.keys(layout).forEach(function (key) {
      if (/^[xy]axis/.test(key)) {
        layout[key].gridcolor = colours.grid;
        layout[key].zerolinecolor = colours.zero;
        layout[key].linecolor = colours.zero;
        if (layout[key].title) layout[key].title.font = { size: width < 480 ? 11 : 12.5 };
      }
    });
    if (width < 480) layout.margin = Object.assign({}, layout.margin, { l: 44, r: 8 });
    return layout;
  }

  function draw(chart, onPaper) {
    var source = document.getElementById("figure-" + chart.dataset.figure);
    var figure = JSON.parse(source.textContent);
    drawn.add(chart);
    if (chart.clientWidth < 480) {
      figure.data.forEach(function (trace) { if (trace.colorbar) trace.showscale = false; });
    }
    Plotly.react(chart, figure.data, theme(figure.layout, onPaper, chart.clientWidth), config);
  }

  function redraw(onPaper) {
    charts.forEach(function (chart) {
      if (onPaper || drawn.has(chart)) draw(chart, onPaper);
    });
  }

  // A chart is drawn when it comes near the window: the page is there at once, however many it has.
  if (charts.length && "IntersectionObserver" in window) {
    var near = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (entry.isIntersecting) {
          near.unobserve(entry.target);
          draw(entry.target, false);
        }
      });
    }, { rootMargin: "600px" });
    charts.forEach(function (chart) { near.observe(chart); });
  } else {
    charts.forEach(function (chart) { draw(chart, false); });
  }

  var toggle = document.getElementById("theme");
  function label() {
    toggle.textContent = isDark() ? toggle.dataset.light : toggle.dataset.dark;
    toggle.setAttribute("aria-pressed", String(isDark()));
  }
  toggle.hidden = false;
  label();
  toggle.addEventListener("click", function () {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
    redraw(false);
  });
  system.addEventListener("change", function () { label(); redraw(false); });

  var print = document.getElementById("print");
  print.hidden = false;
  print.addEventListener("click", function () { window.print(); });
  var closed = [];
  window.addEventListener("beforeprint", function () {
    closed = Array.prototype.slice.call(document.querySelectorAll("main details:not([open]):not(.part)"));
    closed.forEach(function (each) { each.open = true; });
    redraw(true);
  });
  window.addEventListener("afterprint", function () {
    closed.forEach(function (each) { each.open = false; });
    redraw(false);
  });

  // Contents: a side column where there is room for it, else closed.
  var contents = document.querySelector("#contents details");
  if (contents) {
    var wide = window.matchMedia("(min-width: 1280px)");
    var fit = function () { contents.open = wide.matches; };
    fit();
    wide.addEventListener("change", fit);
  }

  // A link into what is closed opens it.
  function reveal() {
    var target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    for (var each = target; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    if (target) target.scrollIntoView();
  }
  window.addEventListener("hashchange", reveal);
  reveal();

  function quote(value) {
    var text = value === null ? "" : String(value);
    if (/^[=+\-@\t\r]/.test(text) && typeof value === "string") text = "'" + text; // a spreadsheet would run it
    return /[",\r\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }

  function toCsv(table) {
    var lines = [table.columns.map(function (column) { return quote(column[0]); }).join(",")];
    var rows = table.data.length ? table.data[0].length : 0;
    for (var row = 0; row < rows; row++) {
      lines.push(table.data.map(function (column) { return quote(column[row]); }).join(","));
    }
    return lines.join("\n") + "\n";
  }

  function toJson(table) {
    var units = {};
    var data = {};
    table.columns.forEach(function (column, place) {
      data[column[0]] = table.data[place];
      if (column[1]) units[column[0]] = column[1];
    });
    return JSON.stringify({ units: units, data: data }, null, 1) + "\n";
  }

  document.querySelectorAll("[data-table]").forEach(function (saves) {
    saves.hidden = false;
    saves.addEventListener("click", function (event) {
      var form = event.target.dataset.form;
      if (!form) return;
      var name = saves.dataset.table;
      var table = JSON.parse(document.getElementById("table-" + name).textContent);
      var text = form === "csv" ? toCsv(table) : toJson(table);
      var link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: form === "csv" ? "text/csv" : "application/json" }));
      link.download = name + "." + form;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  });
})();
