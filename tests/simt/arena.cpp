#include "arena.hpp"

#include <cstring>

#include "sanitizers.hpp"

#ifdef SIMT_TSAN
#include <sys/mman.h>
#endif

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kArenaBytes = 57 * kPage;  // kMaxSharedBytes in whole pages
static_assert(kArenaBytes >= simt::kMaxSharedBytes);

}  // namespace

// One page on either side catches small negative indices as well as large ones.
extern "C" {
alignas(kPage) __attribute__((used)) unsigned char simt_arena[kPage + kArenaBytes + kPage];
}

// A block-scope `extern` names a member of the namespace around it, so the arena needs a symbol in
// each namespace that has kernels: the global one and cuqat::gpu. An alias attribute would do, but
// cannot skip the page in front.
asm(R"(
  .globl cuqat_shared_memory
  .set cuqat_shared_memory, simt_arena + 4096
  .globl _ZN5cuqat3gpu19cuqat_shared_memoryE
  .set _ZN5cuqat3gpu19cuqat_shared_memoryE, simt_arena + 4096
)");

namespace simt {
namespace {

[[maybe_unused]] const bool g_closed_at_start = (end_shared_memory(), true);

}  // namespace

void begin_shared_memory(std::size_t bytes) {
  unsigned char* const begin = simt_arena + kPage;
  forbid_access(simt_arena, sizeof simt_arena);
  if (bytes == 0) return;
#ifdef SIMT_TSAN
  // New pages: otherwise this block would race with the one before, which used the same addresses.
  // An order between the two would hide their races on global memory.
  mmap(begin, (bytes + kPage - 1) / kPage * kPage, PROT_READ | PROT_WRITE,
       MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#endif
  allow_access(begin, bytes);
  std::memset(begin, 0xCD, bytes);
}

void end_shared_memory() { forbid_access(simt_arena, sizeof simt_arena); }

}  // namespace simt
