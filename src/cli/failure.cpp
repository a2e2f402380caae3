#include "cli/failure.hpp"

#include <new>

namespace cuqat::cli {

Failure failure_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const RankError& error) {
    return {error.code(), error.what()};
  } catch (const UsageError& error) {
    return {kExitUsage, error.what()};
  } catch (const OutputError& error) {
    return {kExitInternal, error.what()};
  } catch (const BackendUnavailable& error) {
    return {kExitBackend, error.what()};
  } catch (const DataError& error) {
    return {kExitInput, error.what()};
  } catch (const InvalidArgument& error) {
    return {kExitUsage, error.what()};
  } catch (const std::bad_alloc&) {
    return {kExitInternal, "out of memory"};
  } catch (const std::exception& error) {
    return {kExitInternal, error.what()};
  } catch (...) {
    return {kExitInternal, "unknown failure"};
  }
}

}  // namespace cuqat::cli
