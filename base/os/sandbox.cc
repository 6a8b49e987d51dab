// SPDX-License-Identifier: BSD-2-Clause
#include "base/os/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace sekisho {
namespace {

Error failed(int number) { return {ErrorCode::kDenied, ErrorSite::kOs, static_cast<std::uint32_t>(number)}; }

/// Closes the filter's description.
class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM))) {}
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
  ~Filter() {
    if (context_ != nullptr) seccomp_release(context_);
  }
  void allow(int call) { note(seccomp_rule_add_array(context_, SCMP_ACT_ALLOW, call, 0, nullptr)); }
  void allow(int call, scmp_arg_cmp only) { note(seccomp_rule_add_array(context_, SCMP_ACT_ALLOW, call, 1, &only)); }
  void refuse(int call, std::uint32_t error) { note(seccomp_rule_add_array(context_, SCMP_ACT_ERRNO(error), call, 0, nullptr)); }
  int load() {
    if (context_ == nullptr) return ENOMEM;
    note(seccomp_attr_set(context_, SCMP_FLTATR_CTL_TSYNC, 1));  // threads that run already, too
    if (error_ == 0) note(seccomp_load(context_));
    return error_;
  }

 private:
  void note(int status) {
    if (status < 0 && error_ == 0) error_ = -status;
  }
  scmp_filter_ctx context_;
  int error_ = 0;
};

constexpr int kPlain[] = {
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(lseek),
    SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(madvise), SCMP_SYS(sigaltstack), SCMP_SYS(getpid),
    SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(connect), SCMP_SYS(getsockopt),
    SCMP_SYS(getrandom), SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
    // what glibc does first in a thread that was made before and runs only now
    SCMP_SYS(rseq), SCMP_SYS(set_robust_list)};

}  // namespace

Result<void> give_up_privileges() {
  for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    (void)::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);  // only who had CAP_SETPCAP can; who has none cannot get any
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  const rlimit no_core{0, 0};
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 || ::syscall(SYS_capset, &header, none) != 0 ||
      ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
      ::setrlimit(RLIMIT_CORE, &no_core) != 0) {
    return failed(errno);
  }
  return {};
}

#ifdef __clang__  // libseccomp's SCMP_A0 and its like are C99 literals
#pragma clang diagnostic ignored "-Wc99-extensions"
#pragma clang diagnostic ignored "-Wmissing-field-initializers"
#endif

namespace {

/// What Asio and OpenSSL do with a connection.
void allow_dialing(Filter& filter) {
  for (const int call : {SCMP_SYS(dup), SCMP_SYS(readv), SCMP_SYS(setsockopt), SCMP_SYS(shutdown), SCMP_SYS(getpeername),
                         SCMP_SYS(timerfd_settime)}) {
    filter.allow(call);
  }
  filter.allow(SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_INET));
  filter.allow(SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_INET6));
  filter.allow(SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONBIO));
}

/// What Asio's resolver does: getaddrinfo() in a thread of its own. Which addresses the machine has, the kernel tells by netlink.
void allow_names(Filter& filter) {
  for (const int call : {SCMP_SYS(accept), SCMP_SYS(bind), SCMP_SYS(sendmmsg), SCMP_SYS(prlimit64), SCMP_SYS(uname),
                         SCMP_SYS(sched_getaffinity)}) {
    filter.allow(call);
  }
  filter.allow(SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_NETLINK));
  filter.allow(SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, FIONREAD));
  constexpr scmp_datum_t kWrites = O_ACCMODE | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
  filter.allow(SCMP_SYS(openat), SCMP_A2(SCMP_CMP_MASKED_EQ, kWrites, O_RDONLY));
  filter.allow(SCMP_SYS(newfstatat), SCMP_A3(SCMP_CMP_EQ, 0));
  filter.allow(SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  filter.refuse(SCMP_SYS(clone3), ENOSYS);  // its flags cannot be looked at: glibc takes clone() then
}

}  // namespace

namespace {

/// What a request to controld takes that is larger than a message: memory sealed before it is sent (base/ipc/sealed_blob.h).
void allow_sealing(Filter& filter) {
  filter.allow(SCMP_SYS(memfd_create));
  filter.allow(SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS));
}

}  // namespace

Result<void> enter_sandbox(Sandbox kind) {
  Filter filter;
  for (const int call : kPlain) filter.allow(call);
  if (kind != Sandbox::kLocal) {
    for (const int call : {SCMP_SYS(getsockname), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl)}) filter.allow(call);
  }
  if (kind == Sandbox::kAccepts || kind == Sandbox::kServes) filter.allow(SCMP_SYS(accept4));
  if (kind == Sandbox::kDials || kind == Sandbox::kServes) allow_dialing(filter);
  if (kind == Sandbox::kServes) allow_names(filter), allow_sealing(filter);
  // Memory is never both written and run.
  filter.allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  filter.allow(SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  filter.allow(SCMP_SYS(newfstatat), SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH));  // glibc's fstat()
  filter.allow(SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
  filter.allow(SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS));
  filter.allow(SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_GETFL));
  filter.allow(SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_SETFL));
  filter.allow(SCMP_SYS(fcntl), SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC));
  filter.allow(SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid())));  // abort() and pthread_cancel()
  const int error = filter.load();
  if (error != 0) return failed(error);
  return {};
}

}  // namespace sekisho
