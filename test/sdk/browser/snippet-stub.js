// What an HTML snippet does until /static/array.js is there: `window.posthog` is an array of the calls made so far, with
// a method for each that appends itself, and `_i` holds the arguments of `init`. The script takes over from there.
(function () {
  var queue = [];
  queue._i = [];
  queue.people = [];
  queue.__SV = 1;
  ['capture', 'identify', 'alias', 'group', 'register', 'reset'].forEach(function (name) {
    queue[name] = function () {
      queue.push([name].concat(Array.prototype.slice.call(arguments)));
    };
  });
  queue.init = function (key, options, name) {
    var script = document.createElement('script');
    script.async = true;
    script.crossOrigin = 'anonymous';
    script.src = options.api_host + '/static/array.js';
    document.head.appendChild(script);
    queue._i.push([key, options, name || 'posthog']);
  };
  window.posthog = queue;
})();
