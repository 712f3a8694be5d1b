export { answerLine, type ExecError, lineTooLong, MAX_LINE } from "./answer.js";
export { DEFAULT_LIMIT, type ExecRequest, MAX_BYTES, type MemoryRange, parseRequest } from "./request.js";
export { type CpuFactory, type ExecAnswer, ExecSession } from "./session.js";
