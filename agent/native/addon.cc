/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addon's JavaScript face: agent/src/bpf/native.ts says what each function takes and gives.
 * Everything slow runs on a worker; this file only checks arguments and copies results.
 */
#include <napi.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "demangle.h"
#include "perf_map.h"
#include "process_files.h"
#include "session.h"

namespace strobe {
namespace {

/* 'CODE: sentence' becomes an Error with that message and code CODE. */
Napi::Error coded_error(Napi::Env env, const std::string& text) {
  Napi::Error error = Napi::Error::New(env, text);
  error.Set("code", Napi::String::New(env, text.substr(0, text.find(':'))));
  return error;
}

Napi::Object object_at(Napi::Env env, const Napi::Object& from, const char* name) {
  Napi::Value value = from.Get(name);
  if (!value.IsObject())
    throw coded_error(env, std::string("ARGUMENT_INVALID: ") + name + " must be an object");
  return value.As<Napi::Object>();
}

size_t bytes_at(Napi::Env env, const Napi::Object& from, const char* name) {
  Napi::Value value = from.Get(name);
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= 1e12))
    throw coded_error(env,
                      std::string("ARGUMENT_INVALID: ") + name + " must be a number of bytes from 0 to 1e12");
  return static_cast<size_t>(number);
}

int descriptor_of(Napi::Env env, const Napi::Value& value, const std::string& name) {
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -2;
  if (number != std::floor(number) || number < -1 || number > 1e6)
    throw coded_error(env, "HANDLES_INVALID: " + name + " must be a file descriptor");
  return static_cast<int>(number);
}

std::vector<int> events_at(Napi::Env env, const Napi::Object& handles, const char* name) {
  Napi::Value value = handles.Get(name);
  if (!value.IsArray()) throw coded_error(env, std::string("HANDLES_INVALID: ") + name + " must be an array");
  Napi::Array list = value.As<Napi::Array>();
  std::vector<int> fds;
  for (uint32_t i = 0; i < list.Length(); i++) {
    Napi::Value event = list.Get(i);
    if (!event.IsObject())
      throw coded_error(env, std::string("HANDLES_INVALID: ") + name + " must hold objects with cpu and fd");
    fds.push_back(descriptor_of(env, event.As<Napi::Object>().Get("fd"), name));
  }
  return fds;
}

Napi::Object to_object(Napi::Env env, const CounterTotals& counters) {
  Napi::Object object = Napi::Object::New(env);
  for (const auto& [name, count] : counters)
    object.Set(name, Napi::Number::New(env, static_cast<double>(count)));
  return object;
}

Napi::Array to_array(Napi::Env env, const std::vector<std::string>& strings) {
  Napi::Array array = Napi::Array::New(env, strings.size());
  for (size_t i = 0; i < strings.size(); i++)
    array.Set(static_cast<uint32_t>(i), Napi::String::New(env, strings[i]));
  return array;
}

template <typename Array, typename Value>
Array to_typed(Napi::Env env, const std::vector<Value>& values) {
  Array array = Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

Napi::Object to_object(Napi::Env env, const CollectedWindow& collected) {
  const Window& window = *collected.window;
  Napi::Object object = Napi::Object::New(env);
  object.Set("startNs", Napi::BigInt::New(env, window.start_ns));
  object.Set("endNs", Napi::BigInt::New(env, window.end_ns));
  Napi::Array processes = Napi::Array::New(env, window.processes.size());
  for (size_t i = 0; i < window.processes.size(); i++) {
    const Window::SampledProcess& from = window.processes[i];
    Napi::Object process = Napi::Object::New(env);
    process.Set("pid", from.key.pid);
    process.Set("parentPid", from.parent_pid);
    process.Set("startBoottime", Napi::BigInt::New(env, from.key.start_boottime));
    process.Set("nsPid", from.text.ns_pid);
    process.Set("comm", from.text.comm);
    process.Set("exe", from.text.exe);
    process.Set("cmdline", to_array(env, from.text.cmdline));
    process.Set("cgroup", from.text.cgroup);
    process.Set("cwd", from.text.cwd);
    process.Set("uid", from.text.uid);
    process.Set("environment", to_array(env, from.text.environment));
    processes.Set(static_cast<uint32_t>(i), process);
  }
  object.Set("processes", processes);
  object.Set("threadNames", to_array(env, window.thread_names));
  object.Set("stackWords", to_typed<Napi::BigUint64Array>(env, window.stack_words));
  object.Set("stackOffset", to_typed<Napi::Uint32Array>(env, window.stack_offset));
  size_t count = window.sums.size();
  auto process = Napi::Uint32Array::New(env, count), thread = Napi::Uint32Array::New(env, count),
       stack = Napi::Uint32Array::New(env, count), samples = Napi::Uint32Array::New(env, count);
  auto result = Napi::Uint8Array::New(env, count);
  for (size_t i = 0; i < count; i++) {
    const Window::Sum& sum = window.sums[i];
    process[i] = sum.process;
    thread[i] = sum.thread;
    stack[i] = sum.stack;
    samples[i] = sum.count;
    result[i] = sum.result;
  }
  object.Set("sampleProcess", process);
  object.Set("sampleThread", thread);
  object.Set("sampleStack", stack);
  object.Set("sampleCount", samples);
  object.Set("sampleResult", result);
  object.Set("counters", to_object(env, collected.counters));
  return object;
}

Napi::Object to_object(Napi::Env env, const SymbolizedFrames& frames) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("strings", to_array(env, frames.strings));
  object.Set("lineOffset", to_typed<Napi::Uint32Array>(env, frames.line_offset));
  object.Set("name", to_typed<Napi::Uint32Array>(env, frames.name));
  object.Set("systemName", to_typed<Napi::Uint32Array>(env, frames.system_name));
  object.Set("sourceFile", to_typed<Napi::Uint32Array>(env, frames.source_file));
  object.Set("line", to_typed<Napi::Uint32Array>(env, frames.line));
  object.Set("startLine", to_typed<Napi::Uint32Array>(env, frames.start_line));
  object.Set("file", to_typed<Napi::Uint32Array>(env, frames.file));
  object.Set("address", to_typed<Napi::BigUint64Array>(env, frames.address));
  object.Set("isFinal", to_typed<Napi::Uint8Array>(env, frames.is_final));
  return object;
}

/* Runs `work` on a worker thread and resolves with what `convert` makes of its result. */
template <typename Result>
class Task : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result()>;
  using Convert = std::function<Napi::Value(Napi::Env, const Result&)>;
  static Napi::Promise run(Napi::Env env, Work work, Convert convert) {
    auto* task = new Task(env, std::move(work), std::move(convert));
    Napi::Promise promise = task->deferred_.Promise();
    task->Queue();
    return promise;
  }

 private:
  Task(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        convert_(std::move(convert)) {}
  void Execute() override { result_ = std::make_unique<Result>(work_()); }
  void OnOK() override {
    Napi::HandleScope scope(Env());
    deferred_.Resolve(convert_(Env(), *result_));
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  std::unique_ptr<Result> result_;
};

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeSession",
        {InstanceMethod<&SessionObject::start>("start"), InstanceMethod<&SessionObject::collect>("collect"),
         InstanceMethod<&SessionObject::symbolize>("symbolize"),
         InstanceMethod<&SessionObject::files>("files"),
         InstanceMethod<&SessionObject::take_wanted>("takeWantedDebugFiles"),
         InstanceMethod<&SessionObject::debug_file_arrived>("debugFileArrived"),
         InstanceMethod<&SessionObject::counters>("counters"), InstanceMethod<&SessionObject::stop>("stop")});
  }

  explicit SessionObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SessionObject>(info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsObject())
      throw coded_error(env,
                        "ARGUMENT_INVALID: openSession takes an object: handles, symbolCacheBytes, "
                        "dwarfBytes, debugFolder");
    Napi::Object options = info[0].As<Napi::Object>();
    Napi::Object from = object_at(env, options, "handles");
    Napi::Value version = from.Get("version");
    if (!version.IsNumber() || version.As<Napi::Number>().DoubleValue() != 1)
      throw coded_error(env, "HANDLES_INVALID: handles.version must be 1");
    NamerOptions namer;
    namer.symbol_cache_bytes = bytes_at(env, options, "symbolCacheBytes");
    namer.dwarf_bytes = bytes_at(env, options, "dwarfBytes");
    Napi::Value folder = options.Get("debugFolder");
    if (!folder.IsString()) throw coded_error(env, "ARGUMENT_INVALID: debugFolder must be a string");
    namer.debug_folder = folder.As<Napi::String>().Utf8Value();
    SessionHandles handles;
    Napi::Object maps = object_at(env, from, "maps");
    Napi::Array names = maps.GetPropertyNames();
    for (uint32_t i = 0; i < names.Length(); i++) {
      std::string name = names.Get(i).ToString();
      handles.maps[name] = descriptor_of(env, maps.Get(name), "maps." + name);
    }
    handles.sample_events = events_at(env, from, "sampleEvents");
    handles.side_band_events = events_at(env, from, "sideBandEvents");
    handles.kallsyms = descriptor_of(env, from.Get("kallsymsFd"), "kallsymsFd");
    std::string error;
    session_ = Session::open(handles, namer, &error);
    if (!session_) throw coded_error(env, error);
  }

 private:
  Napi::Value start(const Napi::CallbackInfo& info) {
    std::string error;
    if (!session_->start(&error)) throw coded_error(info.Env(), error);
    return info.Env().Undefined();
  }

  Napi::Value collect(const Napi::CallbackInfo& info) {
    auto session = session_;
    /* A function object must be copyable, a window is not: it travels in a shared pointer. */
    return Task<std::shared_ptr<CollectedWindow>>::run(
        info.Env(), [session] { return std::make_shared<CollectedWindow>(session->collect()); },
        [](Napi::Env env, const std::shared_ptr<CollectedWindow>& window) -> Napi::Value {
          return to_object(env, *window);
        });
  }

  Napi::Value symbolize(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (info.Length() < 1 || !info[0].IsTypedArray() ||
        info[0].As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array ||
        info[0].As<Napi::TypedArray>().ElementLength() % 2 != 0)
      throw coded_error(env, "ARGUMENT_INVALID: symbolize takes a BigUint64Array of pairs of words");
    auto array = info[0].As<Napi::BigUint64Array>();
    std::vector<uint64_t> pairs(array.Data(), array.Data() + array.ElementLength());
    auto session = session_;
    return Task<SymbolizedFrames>::run(
        env, [session, pairs = std::move(pairs)] { return session->symbolize(pairs); },
        [](Napi::Env inner, const SymbolizedFrames& frames) -> Napi::Value {
          return to_object(inner, frames);
        });
  }

  Napi::Value files(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    std::vector<FileInfo> list = session_->files();
    Napi::Array array = Napi::Array::New(env, list.size());
    for (size_t i = 0; i < list.size(); i++) {
      Napi::Object file = Napi::Object::New(env);
      file.Set("id", list[i].id);
      file.Set("path", list[i].path);
      file.Set("buildId", list[i].build_id);
      file.Set("lowestVaddr", Napi::BigInt::New(env, list[i].lowest_vaddr));
      file.Set("state", file_stage_name(list[i].stage));
      file.Set("reason", list[i].reason);
      array.Set(static_cast<uint32_t>(i), file);
    }
    return array;
  }

  Napi::Value take_wanted(const Napi::CallbackInfo& info) {
    return to_array(info.Env(), session_->symbolizer().take_wanted());
  }

  Napi::Value debug_file_arrived(const Napi::CallbackInfo& info) {
    if (info.Length() < 1 || !info[0].IsString())
      throw coded_error(info.Env(), "ARGUMENT_INVALID: debugFileArrived takes a build id");
    std::vector<uint32_t> files =
        session_->symbolizer().debug_file_arrived(info[0].As<Napi::String>().Utf8Value());
    Napi::Array array = Napi::Array::New(info.Env(), files.size());
    for (size_t i = 0; i < files.size(); i++) array.Set(static_cast<uint32_t>(i), files[i]);
    return array;
  }

  Napi::Value counters(const Napi::CallbackInfo& info) { return to_object(info.Env(), session_->counters()); }

  Napi::Value stop(const Napi::CallbackInfo& info) {
    auto session = session_;
    return Task<bool>::run(
        info.Env(),
        [session] {
          session->stop();
          return true;
        },
        [](Napi::Env env, const bool&) -> Napi::Value { return env.Undefined(); });
  }

  std::shared_ptr<Session> session_;
};

class ProcessFilesObject : public Napi::ObjectWrap<ProcessFilesObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "NativeProcessFiles",
        {InstanceMethod<&ProcessFilesObject::read>("read"), InstanceMethod<&ProcessFilesObject::list>("list"),
         InstanceMethod<&ProcessFilesObject::executable>("executable")});
  }
  explicit ProcessFilesObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<ProcessFilesObject>(info), files_(std::make_shared<ProcessFiles>()) {}

 private:
  struct Target {
    uint32_t pid;
    uint64_t start_boottime;
    std::string path;
  };
  static Target target_of(const Napi::CallbackInfo& info) {
    bool lossless = false;
    if (info.Length() < 3 || !info[0].IsNumber() || !info[1].IsBigInt() || !info[2].IsString())
      throw coded_error(info.Env(), "ARGUMENT_INVALID: a file is named by pid, start (bigint) and path");
    return {info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::BigInt>().Uint64Value(&lossless),
            info[2].As<Napi::String>().Utf8Value()};
  }
  static Napi::Value to_file(Napi::Env env, const ProcessFile& file) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("reason", file.reason);
    object.Set("bytes", to_typed<Napi::Uint8Array>(env, file.bytes));
    return object;
  }

  Napi::Value read(const Napi::CallbackInfo& info) {
    Target target = target_of(info);
    double max_bytes =
        info.Length() > 3 && info[3].IsNumber() ? info[3].As<Napi::Number>().DoubleValue() : -1;
    if (!(max_bytes >= 0 && max_bytes <= 1 << 24))
      throw coded_error(info.Env(), "ARGUMENT_INVALID: maxBytes must be a number from 0 to 16777216");
    return Task<ProcessFile>::run(
        info.Env(),
        [files = files_, target, max_bytes] {
          return files->read(target.pid, target.start_boottime, target.path, static_cast<size_t>(max_bytes));
        },
        to_file);
  }
  Napi::Value list(const Napi::CallbackInfo& info) {
    Target target = target_of(info);
    return Task<ProcessFile>::run(
        info.Env(),
        [files = files_, target] { return files->list(target.pid, target.start_boottime, target.path); },
        to_file);
  }
  Napi::Value executable(const Napi::CallbackInfo& info) {
    Target target = target_of(info);
    return Task<ExecutableFacts>::run(
        info.Env(),
        [files = files_, target] {
          return files->executable(target.pid, target.start_boottime, target.path);
        },
        [](Napi::Env env, const ExecutableFacts& facts) -> Napi::Value {
          Napi::Object object = Napi::Object::New(env);
          object.Set("reason", facts.reason);
          object.Set("buildId", facts.build_id);
          object.Set("owner", facts.owner == PackageOwner::kPackage ? "package"
                              : facts.owner == PackageOwner::kNone  ? "none"
                                                                    : "unknown");
          return object;
        });
  }

  std::shared_ptr<ProcessFiles> files_;
};

class PerfMapsObject : public Napi::ObjectWrap<PerfMapsObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativePerfMaps", {InstanceMethod<&PerfMapsObject::name>("name")});
  }
  explicit PerfMapsObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PerfMapsObject>(info) {
    double bytes = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
    if (!(bytes >= 0 && bytes <= 1e12))
      throw coded_error(info.Env(), "ARGUMENT_INVALID: maxBytes must be a number of bytes from 0 to 1e12");
    maps_ = std::make_shared<PerfMaps>(static_cast<size_t>(bytes));
  }

 private:
  Napi::Value name(const Napi::CallbackInfo& info) {
    bool lossless = false;
    if (info.Length() < 4 || !info[0].IsNumber() || !info[1].IsBigInt() || !info[2].IsNumber() ||
        !info[3].IsTypedArray() || info[3].As<Napi::TypedArray>().TypedArrayType() != napi_biguint64_array)
      throw coded_error(info.Env(),
                        "ARGUMENT_INVALID: name takes pid, start (bigint), nsPid and a BigUint64Array");
    auto array = info[3].As<Napi::BigUint64Array>();
    std::vector<uint64_t> pcs(array.Data(), array.Data() + array.ElementLength());
    return Task<std::vector<std::string>>::run(
        info.Env(),
        [maps = maps_, pid = info[0].As<Napi::Number>().Uint32Value(),
         start = info[1].As<Napi::BigInt>().Uint64Value(&lossless),
         ns_pid = info[2].As<Napi::Number>().Uint32Value(),
         pcs = std::move(pcs)] { return maps->name(pid, start, ns_pid, pcs); },
        [](Napi::Env env, const std::vector<std::string>& names) -> Napi::Value {
          return to_array(env, names);
        });
  }

  std::shared_ptr<PerfMaps> maps_;
};

Napi::Value demangle_name(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsString())
    throw coded_error(info.Env(), "ARGUMENT_INVALID: demangle takes a string");
  return Napi::String::New(info.Env(), demangle(info[0].As<Napi::String>().Utf8Value()));
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto session_class =
      std::make_shared<Napi::FunctionReference>(Napi::Persistent(SessionObject::define(env)));
  exports.Set("openSession",
              Napi::Function::New(env, [session_class](const Napi::CallbackInfo& info) -> Napi::Value {
                return session_class->New({info.Length() > 0 ? info[0] : info.Env().Undefined()});
              }));
  auto files_class =
      std::make_shared<Napi::FunctionReference>(Napi::Persistent(ProcessFilesObject::define(env)));
  exports.Set("openProcessFiles",
              Napi::Function::New(env, [files_class](const Napi::CallbackInfo&) -> Napi::Value {
                return files_class->New({});
              }));
  auto maps_class = std::make_shared<Napi::FunctionReference>(Napi::Persistent(PerfMapsObject::define(env)));
  exports.Set("openPerfMaps",
              Napi::Function::New(env, [maps_class](const Napi::CallbackInfo& info) -> Napi::Value {
                return maps_class->New({info.Length() > 0 ? info[0] : info.Env().Undefined()});
              }));
  exports.Set("demangle", Napi::Function::New(env, demangle_name));
  std::vector<std::string> names(kResultNames, kResultNames + RESULT_COUNT);
  /* Both ways to a whole stack read the same to a user. */
  names[RESULT_COMPLETE_STOP] = names[RESULT_COMPLETE_ZERO] = "complete";
  exports.Set("resultNames", to_array(env, names));
  return exports;
}

}  // namespace
}  // namespace strobe

namespace {
Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return strobe::init(env, exports); }
}  // namespace
NODE_API_MODULE(strobe_agent, init_addon)
