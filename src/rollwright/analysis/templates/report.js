(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var charts = Array.prototype.slice.call(document.querySelectorAll("[data-figure]"));
  var config = { responsive: true, displaylogo: false, displayModeBar: false, plotlyServerURL: "" };

  function palette(onPaper) {
    return dark.matches && !onPaper
      ? { text: "#d7dae0", grid: "#33373f", zero: "#5a606b", hover: "#23262d" }
      : { text: "#30343c", grid: "#e7e9ee", zero: "#b4b9c3", hover: "#ffffff" };
  }

  function theme(layout, onPaper) {
    var colours = palette(onPaper);
    var family = getComputedStyle(document.body).fontFamily;
    layout.font = { family: family, size: 12.5, color: colours.text };
    layout.hoverlabel = { bgcolor: colours.hover, bordercolor: colours.grid, font: { family: family, color: colours.text } };
    Object.keys(layout).forEach(function (key) {
      if (/^[xy]axis/.test(key)) {
        layout[key].gridcolor = colours.grid;
        layout[key].zerolinecolor = colours.zero;
        layout[key].linecolor = colours.zero;
      }
    });
    return layout;
  }

  function draw(onPaper) {
    charts.forEach(function (chart) {
      var source = document.getElementById("figure-" + chart.dataset.figure);
      var figure = JSON.parse(source.textContent);
      Plotly.react(chart, figure.data, theme(figure.layout, onPaper), config);
    });
  }

  draw(false);
  dark.addEventListener("change", function () { draw(false); });
  window.addEventListener("beforeprint", function () { draw(true); });
  window.addEventListener("afterprint", function () { draw(false); });
})();
