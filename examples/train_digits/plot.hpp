// Loss and accuracy over the epochs, as one SVG file that needs nothing else.
#pragma once

#include <string>
#include <vector>

#include "experiment.hpp"

void write_plot(const std::string& path, const std::vector<Run>& runs);
