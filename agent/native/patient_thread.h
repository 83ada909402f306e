/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STROBE_PATIENT_THREAD_H
#define STROBE_PATIENT_THREAD_H

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>

namespace strobe {

/*
 * Runs what may hang in a file system of somebody else (FUSE, NFS) on a thread of its own, which is given up
 * when it takes too long; with four given up everything is refused until one comes back.
 */
class PatientThread {
 public:
  PatientThread() : hung_(std::make_shared<std::atomic<size_t>>(0)) {}
  ~PatientThread();
  PatientThread(const PatientThread&) = delete;
  PatientThread& operator=(const PatientThread&) = delete;

  /* True when work is done. False: refused, or it goes on alone: all that it uses must live as long as it
   * does, so it holds shared pointers and no references. Calls wait for one another. */
  bool run(std::chrono::milliseconds patience, std::function<void()> work);

 private:
  struct Worker;
  std::mutex mutex_;
  std::shared_ptr<Worker> worker_;
  std::shared_ptr<std::atomic<size_t>> hung_; /* threads given up that are not back */
};

}  // namespace strobe

#endif
