// Memory that the system hands out in small pages, one fault each, is slow to write for the first time.
#pragma once

#include <cstddef>

namespace clear_kernels {

// Asks for huge pages (Linux, where they are granted on request) for a large result that is about to be written.
void prefer_huge_pages(void *data, size_t bytes);

} // namespace clear_kernels
