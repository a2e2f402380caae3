#include "plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <stdexcept>

namespace {

constexpr double kWidth = 420.0;
constexpr double kHeight = 260.0;
constexpr double kTop = 60.0;
constexpr std::array<const char*, 4> kColours = {"#444444", "#1f77b4", "#d62728", "#2ca02c"};

std::string text(const char* format, auto... values) {
  std::array<char, 512> buffer{};
  std::snprintf(buffer.data(), buffer.size(), format, values...);
  return buffer.data();
}

/// The distinct formats, in the order of the runs.
std::vector<std::string> formats(const std::vector<Run>& runs) {
  std::vector<std::string> result;
  for (const Run& run : runs) {
    if (std::ranges::find(result, run.format) == result.end()) result.emplace_back(run.format);
  }
  return result;
}

const char* colour_of(const Run& run, const std::vector<std::string>& names) {
  const auto format = std::ranges::find(names, run.format) - names.begin();
  return kColours[static_cast<std::size_t>(format) % kColours.size()];
}

/// One of the two diagrams: what it shows of an epoch, and where that lies.
struct Panel {
  double left;
  const char* title;
  std::function<double(const Epoch&)> value;
  double low;
  double high;
  int last_epoch;

  double x(double epoch) const { return left + kWidth * epoch / last_epoch; }
  double y(double v) const {
    return kTop + kHeight * (1.0 - (std::clamp(v, low, high) - low) / (high - low));
  }
};

std::string frame(const Panel& panel, const std::function<std::string(double)>& label) {
  std::string svg = text("<text x='%.0f' y='%.0f' font-weight='bold'>%s</text>\n", panel.left,
                         kTop - 12, panel.title);
  for (int i = 0; i <= 4; ++i) {
    const double value = panel.low + (panel.high - panel.low) * i / 4;
    svg += text("<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='#dddddd'/>\n", panel.left,
                panel.left + kWidth, panel.y(value), panel.y(value));
    svg += text("<text x='%.1f' y='%.1f' text-anchor='end'>%s</text>\n", panel.left - 6,
                panel.y(value) + 4, label(value).c_str());
  }
  for (int i = 0; i <= 5; ++i) {
    const int epoch = panel.last_epoch * i / 5;
    svg += text("<text x='%.1f' y='%.1f' text-anchor='middle'>%d</text>\n", panel.x(epoch),
                kTop + kHeight + 18, epoch);
  }
  svg += text("<text x='%.1f' y='%.1f' text-anchor='middle'>epoch</text>\n",
              panel.left + kWidth / 2, kTop + kHeight + 36);
  return svg;
}

std::string lines(const Panel& panel, const std::vector<Run>& runs) {
  const std::vector<std::string> names = formats(runs);
  std::string svg;
  for (const Run& run : runs) {
    std::string points;
    for (std::size_t i = 0; i < run.epochs.size(); ++i) {
      points += text("%.1f,%.1f ", panel.x(run.first_epoch + static_cast<double>(i) + 1.0),
                     panel.y(panel.value(run.epochs[i])));
    }
    if (points.empty()) continue;
    svg += text(
               "<g><title>%s, seed %llu</title><polyline fill='none' stroke='%s' "
               "stroke-opacity='0.6' points='",
               run.format, static_cast<unsigned long long>(run.seed), colour_of(run, names)) +
           points + "'/></g>\n";
  }
  return svg;
}

/// Those that were not trained on: a ring each.
std::string rings(const Panel& panel, const std::vector<Run>& runs) {
  std::string svg;
  for (const Run& run : runs) {
    if (!run.epochs.empty()) continue;
    svg += text("<circle cx='%.1f' cy='%.1f' r='3' fill='none' stroke='%s'/>\n",
                panel.x(run.first_epoch), panel.y(run.accuracy), colour_of(run, formats(runs)));
  }
  return svg;
}

std::string legend(const std::vector<Run>& runs, double left) {
  std::string svg;
  const std::vector<std::string> names = formats(runs);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double x = left + 150.0 * static_cast<double>(i);
    svg += text("<line x1='%.0f' x2='%.0f' y1='20' y2='20' stroke-width='3' stroke='%s'/>\n", x,
                x + 20, kColours[i % kColours.size()]);
    svg += text("<text x='%.0f' y='24'>%s%s</text>\n", x + 26, names[i].c_str(),
                i == 0 ? "" : ", QAT from f32");
  }
  const double x = left + 150.0 * static_cast<double>(names.size());
  svg += text("<circle cx='%.0f' cy='20' r='3' fill='none' stroke='black'/>\n", x + 10);
  svg += text("<text x='%.0f' y='24'>quantized after training</text>\n", x + 26);
  return svg;
}

}  // namespace

void write_plot(const std::string& path, const std::vector<Run>& runs) {
  int last_epoch = 1;
  double least_loss = 1.0;
  double greatest_loss = 1e-9;
  double least_accuracy = 1.0;
  for (const Run& run : runs) {
    for (std::size_t i = 0; i < run.epochs.size(); ++i) {
      last_epoch = std::max(last_epoch, run.first_epoch + static_cast<int>(i) + 1);
      least_loss = std::min(least_loss, run.epochs[i].loss);
      greatest_loss = std::max(greatest_loss, run.epochs[i].loss);
      // The first epochs are far below all others.
      if (i + 1 >= run.epochs.size() / 8) {
        least_accuracy = std::min(least_accuracy, run.epochs[i].accuracy);
      }
    }
  }
  const Panel loss{60.0,
                   "training loss",
                   [](const Epoch& epoch) { return std::log10(std::max(epoch.loss, 1e-9)); },
                   std::floor(std::log10(std::max(least_loss, 1e-9))),
                   std::ceil(std::log10(greatest_loss)),
                   last_epoch};
  const Panel accuracy{60.0 + kWidth + 80.0,
                       "accuracy on the test images",
                       [](const Epoch& epoch) { return epoch.accuracy; },
                       std::min(std::floor(50.0 * least_accuracy) / 50.0, 0.98),
                       1.0,
                       last_epoch};
  std::ofstream file(path);
  file << "<svg xmlns='http://www.w3.org/2000/svg' width='1020' height='370' "
          "font-family='sans-serif' font-size='12'>\n<rect width='1020' height='370' "
          "fill='white'/>\n"
       << legend(runs, loss.left)
       << frame(loss, [](double value) { return text("%.2g", std::pow(10.0, value)); })
       << lines(loss, runs)
       << frame(accuracy, [](double value) { return text("%.1f%%", 100.0 * value); })
       << lines(accuracy, runs) << rings(accuracy, runs) << "</svg>\n";
  if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}
