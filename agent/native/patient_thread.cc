/* SPDX-License-Identifier: Apache-2.0 */
#include "patient_thread.h"

#include <pthread.h>

#include <condition_variable>
#include <thread>
#include <utility>

namespace strobe {

namespace {
constexpr size_t kMaxHung = 4;
}

/* One job at a time; retired when it did not come back in time, and ends when it does. */
struct PatientThread::Worker {
  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> job;
  bool is_done = false;
  bool is_retired = false;
};

PatientThread::~PatientThread() {
  if (!worker_) return;
  std::lock_guard<std::mutex> lock(worker_->mutex);
  worker_->is_retired = true;
  worker_->changed.notify_all();
}

bool PatientThread::run(std::chrono::milliseconds patience, std::function<void()> work) {
  std::lock_guard<std::mutex> one_at_a_time(mutex_);
  if (!worker_) {
    if (hung_->load() >= kMaxHung) return false;
    worker_ = std::make_shared<Worker>();
    std::thread([worker = worker_] {
      pthread_setname_np(pthread_self(), "strobe-files");
      std::unique_lock<std::mutex> lock(worker->mutex);
      for (;;) {
        worker->changed.wait(lock, [&] { return worker->job || worker->is_retired; });
        if (!worker->job) return;
        std::function<void()> job = std::move(worker->job);
        worker->job = nullptr;
        lock.unlock();
        job();
        lock.lock();
        worker->is_done = true;
        worker->changed.notify_all();
        if (worker->is_retired) return;
      }
    }).detach();
  }
  std::shared_ptr<Worker> worker = worker_;
  auto hung = hung_;
  auto is_given_up = std::make_shared<std::atomic<bool>>(false);
  std::unique_lock<std::mutex> lock(worker->mutex);
  worker->is_done = false;
  worker->job = [work = std::move(work), hung, is_given_up] {
    work();
    if (is_given_up->load()) hung->fetch_sub(1);
  };
  worker->changed.notify_all();
  if (worker->changed.wait_for(lock, patience, [&] { return worker->is_done; })) return true;
  hung->fetch_add(1);
  is_given_up->store(true);
  worker->is_retired = true;
  worker_.reset();
  return false;
}

}  // namespace strobe
