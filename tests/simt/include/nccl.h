// Stands in front of NCCL's header: as much of it as cuqat uses, for ranks that are all in one
// thread. What the ranks of a communicator ask for is done when the last of them has asked, and
// waits for no stream: work that a test puts on streams must be done before.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

enum ncclResult_t {
  ncclSuccess = 0,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclInProgress = 7
};
enum ncclDataType_t { ncclInt64 = 4, ncclUint64 = 5, ncclFloat64 = 8 };
enum ncclRedOp_t { ncclSum = 0, ncclMax = 2, ncclMin = 3 };

namespace simt {

struct NcclRequest {
  const void* from;
  void* to;
  std::size_t count;
  ncclDataType_t type;
  ncclRedOp_t operation;
};

/// A communicator: what its ranks have asked for so far, each all at once.
struct NcclGroup {
  std::size_t num_ranks = 1;
  std::vector<std::vector<NcclRequest>> ranks;
};

/// Between ncclGroupStart and ncclGroupEnd: one communicator's. A group within is one rank's.
inline int nccl_depth = 0;
inline NcclGroup* nccl_group = nullptr;
inline std::vector<NcclRequest> nccl_requests;
inline std::vector<std::vector<NcclRequest>> nccl_ranks;

/// 1: the next call fails, and what its group has asked for is not done. 0: none does.
inline int nccl_calls_to_failure = 0;

inline bool nccl_fails() {
  if (nccl_calls_to_failure == 0 || --nccl_calls_to_failure > 0) return false;
  nccl_group = nullptr;
  nccl_requests.clear();
  nccl_ranks.clear();
  return true;
}

/// The same request of every rank.
template <typename T>
void reduce(const std::vector<NcclRequest>& requests) {
  std::vector<T> result;
  for (const NcclRequest& request : requests) {
    const T* const from = static_cast<const T*>(request.from);
    if (result.empty()) {
      result.assign(from, from + request.count);
      continue;
    }
    for (std::size_t i = 0; i < request.count; ++i) {
      result[i] = request.operation == ncclSum   ? result[i] + from[i]
                  : request.operation == ncclMin ? std::min(result[i], from[i])
                                                 : std::max(result[i], from[i]);
    }
  }
  for (const NcclRequest& request : requests) {
    std::copy(result.begin(), result.end(), static_cast<T*>(request.to));
  }
}

inline ncclResult_t add_rank(NcclGroup& group, std::vector<NcclRequest> of_rank) {
  group.ranks.push_back(std::move(of_rank));
  if (group.ranks.size() < group.num_ranks) return ncclSuccess;
  const std::vector<std::vector<NcclRequest>> ranks = std::exchange(group.ranks, {});
  for (std::size_t i = 0; i < ranks[0].size(); ++i) {
    std::vector<NcclRequest> requests;
    for (const std::vector<NcclRequest>& rank : ranks) {
      // NCCL would not see it, and might wait for ever.
      if (rank.size() != ranks[0].size() || rank[i].count != ranks[0][i].count ||
          rank[i].type != ranks[0][i].type || rank[i].operation != ranks[0][i].operation) {
        return ncclInvalidUsage;
      }
      requests.push_back(rank[i]);
    }
    if (requests[0].type == ncclInt64) reduce<std::int64_t>(requests);
    if (requests[0].type == ncclUint64) reduce<std::uint64_t>(requests);
    if (requests[0].type == ncclFloat64) reduce<double>(requests);
  }
  return ncclSuccess;
}

}  // namespace simt

using ncclComm_t = simt::NcclGroup*;

inline const char* ncclGetErrorString(ncclResult_t status) {
  return status == ncclInternalError     ? "internal error"
         : status == ncclInvalidArgument ? "invalid argument"
         : status == ncclInvalidUsage    ? "invalid usage"
                                         : "no error";
}

inline ncclResult_t ncclGroupStart() {
  if (simt::nccl_fails()) return ncclInternalError;
  ++simt::nccl_depth;
  return ncclSuccess;
}

inline ncclResult_t ncclGroupEnd() {
  if (simt::nccl_depth == 0) return ncclInvalidUsage;
  --simt::nccl_depth;
  if (simt::nccl_fails()) return ncclInternalError;
  if (!simt::nccl_requests.empty()) {
    simt::nccl_ranks.push_back(std::exchange(simt::nccl_requests, {}));
  }
  if (simt::nccl_depth > 0) return ncclSuccess;
  simt::NcclGroup* const group = std::exchange(simt::nccl_group, nullptr);
  for (std::vector<simt::NcclRequest>& requests : std::exchange(simt::nccl_ranks, {})) {
    const ncclResult_t status = simt::add_rank(*group, std::move(requests));
    if (status != ncclSuccess) return status;
  }
  return ncclSuccess;
}

inline ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count,
                                  ncclDataType_t type, ncclRedOp_t operation, ncclComm_t group,
                                  cudaStream_t) {
  if (simt::nccl_fails()) return ncclInternalError;
  if (group == nullptr || from == nullptr || to == nullptr) return ncclInvalidArgument;
  if (simt::nccl_depth == 0) return simt::add_rank(*group, {{from, to, count, type, operation}});
  if (simt::nccl_group != nullptr && simt::nccl_group != group) return ncclInvalidUsage;
  simt::nccl_group = group;
  simt::nccl_requests.push_back({from, to, count, type, operation});
  return ncclSuccess;
}
