#include "plot.hpp"
void write_plot(const std::string&, const std::vector<Run>&) {}
