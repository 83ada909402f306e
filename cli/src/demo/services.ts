/**
 * The fleet that the demo invents: what each service's stacks look like, where it runs, what was deployed.
 *
 * A stack is a line, root first, with the share of the service's CPU time that it takes. `|` parts frames,
 * a module in front of `!` holds from there on. The kernel's module is [kernel].
 */

export interface DemoDeploy {
  version: string
  /** Days before the end of the demo; the first one stands before its beginning. */
  daysAgo: number
  /** Stacks whose weight this version multiplies, by a function on them. */
  multiply?: Record<string, number>
}

export interface DemoService {
  name: string
  executable: string
  /** Mean cores of one instance at noon. */
  cores: number
  instances: { host: string; region: string }[]
  threads: string[]
  deploys: DemoDeploy[]
  stacks: string
}

const sendSyscall =
  '[kernel]!entry_SYSCALL_64_after_hwframe|do_syscall_64|__x64_sys_write|ksys_write|vfs_write|sock_write_iter|tcp_sendmsg|tcp_sendmsg_locked|__tcp_push_pending_frames|tcp_write_xmit|__tcp_transmit_skb|__ip_queue_xmit'

export const demoServices: DemoService[] = [
  {
    name: 'storefront',
    executable: 'storefront',
    cores: 1.6,
    instances: [
      { host: 'fra-web-1', region: 'eu-central-1' },
      { host: 'fra-web-2', region: 'eu-central-1' },
      { host: 'iad-web-1', region: 'us-east-1' },
    ],
    threads: ['storefront'],
    deploys: [
      { version: '2.6.1', daysAgo: 30 },
      { version: '2.7.0', daysAgo: 6.2, multiply: { 'regexp.(*Regexp).doExecute': 0.55 } },
      // The planted regression: prices are formatted by reflection on each request.
      { version: '2.8.0', daysAgo: 0.8, multiply: { 'storefront/price.(*Formatter).Format': 3.4 } },
    ],
    stacks: `
14 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*ProductPage).Render|html/template.(*Template).Execute|text/template.(*state).walk|text/template.(*state).evalPipeline|reflect.Value.Call
 9 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*ProductPage).Render|html/template.(*Template).Execute|text/template.(*state).walk|html/template.htmlEscaper|strings.(*Replacer).Replace
 7 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*Search).Serve|encoding/json.(*Encoder).Encode|encoding/json.structEncoder.encode|encoding/json.(*encodeState).string
 6 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*Search).Serve|encoding/json.(*Encoder).Encode|encoding/json.structEncoder.encode|reflect.Value.Field
 5 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*Search).Serve|storefront/catalog.(*Index).Find|storefront/catalog.intersect
 4 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*Search).Serve|storefront/catalog.(*Index).Find|sort.Slice|sort.pdqsort_func
 3 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.matchRoute|regexp.(*Regexp).MatchString|regexp.(*Regexp).doExecute|regexp.(*machine).onepass
 3 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*ProductPage).Render|storefront/price.(*Formatter).Format|fmt.Sprintf|fmt.(*pp).doPrintf|fmt.(*fmt).fmtFloat|strconv.AppendFloat
 1.5 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*ProductPage).Render|storefront/price.(*Formatter).Format|reflect.Value.MethodByName|reflect.(*rtype).MethodByName
 4 storefront!runtime.goexit|net/http.(*conn).serve|net/http.(*conn).readRequest|net/http.readRequest|net/textproto.(*Reader).ReadMIMEHeader
 4 storefront!runtime.goexit|net/http.(*conn).serve|bufio.(*Writer).Flush|net.(*conn).Write|internal/poll.(*FD).Write|syscall.write|${sendSyscall}
 2 storefront!runtime.goexit|net/http.(*conn).serve|crypto/tls.(*Conn).Read|crypto/tls.(*halfConn).decrypt|crypto/cipher.(*gcmAsm).Open
 6 storefront!runtime.gcBgMarkWorker|runtime.systemstack|runtime.gcBgMarkWorker.func2|runtime.gcDrain|runtime.scanobject
 2 storefront!runtime.gcBgMarkWorker|runtime.systemstack|runtime.gcBgMarkWorker.func2|runtime.gcDrain|runtime.greyobject
 4 storefront!runtime.goexit|net/http.(*conn).serve|net/http.serverHandler.ServeHTTP|storefront/web.(*Router).ServeHTTP|storefront/web.(*ProductPage).Render|runtime.newobject|runtime.mallocgc
 2 storefront!runtime.mcall|runtime.park_m|runtime.schedule|runtime.findRunnable|runtime.netpoll|runtime.epollwait|[kernel]!entry_SYSCALL_64_after_hwframe|do_syscall_64|__x64_sys_epoll_pwait|do_epoll_wait|schedule
`,
  },
  {
    name: 'checkout',
    executable: 'node',
    cores: 0.7,
    instances: [
      { host: 'fra-app-1', region: 'eu-central-1' },
      { host: 'iad-app-1', region: 'us-east-1' },
    ],
    threads: ['node', 'node', 'V8 Worker'],
    deploys: [
      { version: '118', daysAgo: 30 },
      { version: '119', daysAgo: 9.4 },
      { version: '120', daysAgo: 3.1, multiply: { parseCart: 0.6 } },
    ],
    stacks: `
10 node!node::Start|node::SpinEventLoopInternal|uv_run|uv__io_poll|uv__stream_io|node::LibuvStreamWrap::OnUvRead|node::AsyncWrap::MakeCallback|v8::Function::Call|onStreamRead|parserOnIncoming|handleRequest|validateCart|Schema.parse|checkItems
 8 node!node::Start|node::SpinEventLoopInternal|uv_run|uv__io_poll|uv__stream_io|node::LibuvStreamWrap::OnUvRead|node::AsyncWrap::MakeCallback|v8::Function::Call|onStreamRead|parserOnIncoming|handleRequest|parseCart|v8::internal::Builtin_JsonParse|v8::internal::JsonParser<unsigned char>::ParseJsonValue
 7 node!node::Start|node::SpinEventLoopInternal|uv_run|uv__io_poll|uv__stream_io|node::LibuvStreamWrap::OnUvRead|node::AsyncWrap::MakeCallback|v8::Function::Call|onStreamRead|parserOnIncoming|handleRequest|applyTaxes|Money.multiply|BigIntDivide
 5 node!node::Start|node::SpinEventLoopInternal|uv_run|uv__io_poll|uv__stream_io|node::LibuvStreamWrap::OnUvRead|node::AsyncWrap::MakeCallback|v8::Function::Call|onStreamRead|parserOnIncoming|handleRequest|signReceipt|node::crypto::Hmac::HmacUpdate|libcrypto.so.3!EVP_DigestUpdate|sha256_block_data_order_avx2
 4 node!node::Start|node::SpinEventLoopInternal|uv_run|uv__io_poll|uv__stream_io|node::LibuvStreamWrap::OnUvRead|node::AsyncWrap::MakeCallback|v8::Function::Call|processTicksAndRejections|chargeCard|Client.query|serializeQuery|Buffer.utf8Write
 3 node!node::Start|node::SpinEventLoopInternal|uv_run|uv__io_poll|uv__stream_io|uv__read|libc.so.6!read|[kernel]!entry_SYSCALL_64_after_hwframe|do_syscall_64|__x64_sys_read|vfs_read|sock_read_iter|tcp_recvmsg|skb_copy_datagram_iter
 3 node!node::Start|node::SpinEventLoopInternal|uv_run|uv__io_poll|uv__stream_io|uv__write|libc.so.6!writev|${sendSyscall}
 4 libc.so.6!clone3|start_thread|node!node::PlatformWorkerThread|v8::internal::ScavengerCollector::JobTask::Run|v8::internal::Scavenger::Process|v8::internal::Scavenger::ScavengeObject
 3 libc.so.6!clone3|start_thread|node!node::PlatformWorkerThread|v8::internal::OptimizingCompileDispatcher::CompileNext|v8::internal::compiler::PipelineImpl::OptimizeGraph|v8::internal::compiler::GraphReducer::ReduceTop
 2 node!node::Start|node::SpinEventLoopInternal|uv_run|uv__run_timers|node::Environment::RunTimers|v8::Function::Call|processTimers|flushMetrics|Registry.serialize
`,
  },
  {
    name: 'search-indexer',
    executable: 'search-indexer',
    cores: 2.3,
    instances: [
      { host: 'fra-batch-1', region: 'eu-central-1' },
      { host: 'fra-batch-2', region: 'eu-central-1' },
    ],
    threads: ['indexer-#', 'indexer-#', 'merge-#', 'rocksdb:low'],
    deploys: [
      { version: '0.31.4', daysAgo: 30 },
      { version: '0.32.0', daysAgo: 11.5, multiply: { 'indexer::tokenize::Tokenizer::next': 0.7 } },
    ],
    stacks: `
13 libc.so.6!clone3|start_thread|search-indexer!std::sys::unix::thread::Thread::new::thread_start|indexer::worker::run|indexer::pipeline::index_batch|indexer::tokenize::Tokenizer::next|indexer::tokenize::is_boundary
 9 libc.so.6!clone3|start_thread|search-indexer!std::sys::unix::thread::Thread::new::thread_start|indexer::worker::run|indexer::pipeline::index_batch|indexer::tokenize::Tokenizer::next|core::str::iter::Chars::next
 9 libc.so.6!clone3|start_thread|search-indexer!std::sys::unix::thread::Thread::new::thread_start|indexer::worker::run|indexer::pipeline::index_batch|indexer::postings::PostingList::push|alloc::vec::Vec<T,A>::reserve|libc.so.6!realloc|_int_realloc
 8 libc.so.6!clone3|start_thread|search-indexer!std::sys::unix::thread::Thread::new::thread_start|indexer::worker::run|indexer::pipeline::index_batch|indexer::postings::encode_block|bitpacking::pack
 7 libc.so.6!clone3|start_thread|search-indexer!std::sys::unix::thread::Thread::new::thread_start|indexer::worker::run|indexer::pipeline::index_batch|hashbrown::map::HashMap<K,V,S>::entry|indexer::hash::wyhash
 6 libc.so.6!clone3|start_thread|search-indexer!rocksdb::ThreadPoolImpl::Impl::BGThread|rocksdb::DBImpl::BackgroundCompaction|rocksdb::CompactionJob::Run|rocksdb::CompactionIterator::Next|rocksdb::MergingIterator::Next|rocksdb::BlockIter::ParseNextKey
 5 libc.so.6!clone3|start_thread|search-indexer!rocksdb::ThreadPoolImpl::Impl::BGThread|rocksdb::DBImpl::BackgroundCompaction|rocksdb::CompactionJob::Run|rocksdb::BlockBasedTableBuilder::Add|libzstd.so.1!ZSTD_compressStream2|ZSTD_compressBlock_doubleFast
 4 libc.so.6!clone3|start_thread|search-indexer!rocksdb::ThreadPoolImpl::Impl::BGThread|rocksdb::DBImpl::BackgroundCompaction|rocksdb::CompactionJob::Run|rocksdb::WritableFileWriter::Sync|libc.so.6!fdatasync|[kernel]!entry_SYSCALL_64_after_hwframe|do_syscall_64|__x64_sys_fdatasync|ext4_sync_file|jbd2_log_wait_commit
 3 libc.so.6!clone3|start_thread|search-indexer!std::sys::unix::thread::Thread::new::thread_start|indexer::worker::run|indexer::pipeline::index_batch|libc.so.6!__memmove_avx_unaligned_erms|[kernel]!asm_exc_page_fault|exc_page_fault|handle_mm_fault|do_anonymous_page|clear_page_erms
 2 libc.so.6!__libc_start_call_main|search-indexer!main|indexer::scheduler::poll|indexer::queue::Consumer::fetch|serde_json::de::from_slice
`,
  },
]
