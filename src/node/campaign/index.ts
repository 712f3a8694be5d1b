/** `klpemu campaign` and `klpemu worker`: many searches, on this machine or on many. */
export { type Campaign, readCampaign } from "./file.js";
export { blobsFor, type Job, type JobResult, jobId, parseJob, parseResult } from "./job.js";
export { answerJobs, jobLine } from "./job-lines.js";
export { JobProcess } from "./job-process.js";
export { type CampaignEvents, runLocally } from "./local.js";
export { type Plan, planCampaign } from "./plan.js";
export { runOnQueue, serveQueue } from "./queue.js";
export { campaignHtml, campaignText } from "./render.js";
export { type CampaignReport, type CampaignRow, campaignStatus, reportOf } from "./report.js";
