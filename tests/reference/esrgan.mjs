// A small picture made by a formula, enlarged by TensorFlow.js: esrgan.json beside this file.
//
//     npm install @tensorflow/tfjs-core@4 @tensorflow/tfjs-layers@4 @tensorflow/tfjs-backend-cpu@4
//     npm pack @upscalerjs/esrgan-slim@1.0.0 && tar xzf upscalerjs-esrgan-slim-1.0.0.tgz
//     node esrgan.mjs package/models/x4 > esrgan.json
//
// Run where node_modules is; the numbers are [height, width, colour], one after the other, 0 to 1.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.cwd() + "/");
const tf = require("@tensorflow/tfjs-core");
require("@tensorflow/tfjs-backend-cpu");
const { loadLayersModel } = require("@tensorflow/tfjs-layers");

const [WIDTH, HEIGHT] = [10, 8];
const folder = process.argv[2];
const { modelTopology, weightsManifest } = JSON.parse(readFileSync(`${folder}/model.json`));
const bytes = readFileSync(`${folder}/${weightsManifest[0].paths[0]}`);
const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const weightSpecs = weightsManifest[0].weights;
const model = await loadLayersModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
const picture = [];
for (let y = 0; y < HEIGHT; y++)
  for (let x = 0; x < WIDTH; x++)
    picture.push((x * 29) % 256, (y * 37) % 256, (x * y * 17) % 256);
const enlarged = model.predict(tf.tensor(picture, [1, HEIGHT, WIDTH, 3]));
const numbers = Array.from(enlarged.dataSync(), (value) => +(value / 255).toFixed(6));
console.log(JSON.stringify(numbers));
